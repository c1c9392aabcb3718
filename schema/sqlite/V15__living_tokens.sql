-- How many tokens of a workflow live, read from its newest ends back without looking at a token.
CREATE INDEX token_living ON token (workflow, expires) WHERE workflow IS NOT NULL;
