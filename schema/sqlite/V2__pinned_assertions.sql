-- The RFC 7638 thumbprint of the key that presented the assertion first, where its identity lets it be presented again:
-- to that key alone it is still good. NULL = used up.
ALTER TABLE replay ADD COLUMN holder TEXT;
