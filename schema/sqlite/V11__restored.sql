-- After a restore, nothing counts that was made before this second, neither an assertion nor an operator's token: what had
-- been used up or ended between the backup and the restore is not known any more. 0 = never restored.
ALTER TABLE writer_state ADD COLUMN made_from INTEGER NOT NULL DEFAULT 0;
