-- A change that waits for its signatures.
INSERT INTO policy_changes VALUES
    ('shop', 'production', 1, 86400000000,
     '{"number":1,"environment":{"project":"shop","environment":"production"},"base":1,"document":{"environment":"production","project":"shop","target":{"hosts":{},"instances":1},"listen":"127.0.0.1:8080","allow":{"refs":["refs/heads/main","refs/tags/v*","refs/heads/next"]},"gates":[],"values":{},"secrets":[]},"source":"environment: production","changes":["allow.refs: more"],"loosens":["releases of refs/heads/next may come in"],"author":{"type":"user","id":"00000000-0000-0000-0000-000000000001","login":"ada"},"proposed_at":"1970-01-01T00:00:00Z","expires_at":"1970-01-02T00:00:00Z","votes":[],"outcome":null,"ended_at":null}');
