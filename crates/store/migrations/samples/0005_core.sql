-- A Run that sealed a Release, which waits before production; and one row of everything else.
INSERT INTO projects VALUES ('shop', '["refs/heads/main"]', '', 1700000000000000);
INSERT INTO runs VALUES
    ('00000000-0000-0000-0000-000000000001', 'shop', 1, 'preparing', 'refs/heads/main', 'cccccccccccccccccccccccccccccccccccccccc', 1000000, NULL,
     '{"id":"00000000-0000-0000-0000-000000000001","project":"shop","number":1,"directory":"","cause":{"event":"push","reference":"refs/heads/main","commit":"cccccccccccccccccccccccccccccccccccccccc","subject":"ä …","author":"ada","makers":[],"actor":{"type":"towpath"}},"trust":"protected","pipeline":null,"pipeline_digest":null,"diagnostics":["no jobs"],"source":null,"state":"preparing","reason":"the pipeline file has 1 mistakes","jobs":[],"release":null,"created_at":"1970-01-01T00:00:01Z","finished_at":null}');
INSERT INTO releases VALUES
    ('sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 'shop', '1.0.0', '00000000-0000-0000-0000-000000000001',
     'cccccccccccccccccccccccccccccccccccccccc', 'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 1000000,
     '{"reference":"refs/tags/v1","source":"sha256:41cf6794ba4200b839c53531555f0f3998df4cbb01a4d5cb0b94e3ca5e23947d","directory":"service","workloads":[],"stages":[],"makers":["ada"]}');
INSERT INTO environments VALUES
    ('shop', 'production', 2000000,
     '{"key":{"project":"shop","environment":"production"},"policy":{"version":1,"document":{"environment":"production","project":"shop","target":{"hosts":{},"instances":1},"listen":"127.0.0.1:8080","allow":{"refs":["refs/heads/main","refs/tags/v*"]},"gates":[],"values":{},"secrets":[]},"editors":[]},"config":"sha256:b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a661b0e8e343910","current":null,"history":[],"warm":null,"fleet":{"groups":0,"instances":[]},"traffic":{"generation":1,"arms":[],"since":"1970-01-01T00:00:00Z","confirmed":{},"problems":{}},"waiting":null,"active":null,"next":null,"ended":[],"hold":null,"quarantine":{}}');
INSERT INTO promotions VALUES
    ('00000000-0000-0000-0000-000000000001', 'shop', 'production', 'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb',
     'sha256:63fee74eac1c3402afad5731132cebf6cd3412bde569bb82a3a46fa1c7e7d5f2', 'waiting', 1000000, NULL,
     '{"id":"00000000-0000-0000-0000-000000000001","environment":{"project":"shop","environment":"production"},"revision":{"digest":"sha256:63fee74eac1c3402afad5731132cebf6cd3412bde569bb82a3a46fa1c7e7d5f2","release":"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","signature":"sha256:1a2fc26dc7ea5a2a4748b7cb2b1ef193d96ab2c99f93092f69e63075b28d1278","config":"sha256:b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a661b0e8e343910","version":"1.0.0","commit":"cccccccccccccccccccccccccccccccccccccccc","source":"sha256:41cf6794ba4200b839c53531555f0f3998df4cbb01a4d5cb0b94e3ca5e23947d","directory":"","workloads":[]},"kind":{"type":"release"},"plan":{"stage":"production","gates":[],"strategy":{"type":"recreate"},"analysis":{"error_rate":{"max_increase":0.005,"max":null,"false_alarm":0.01,"min_requests":50,"block":"PT10S"}},"verify":[],"on_failure":"rollback","deadline":"PT30M"},"policy":1,"makers":[],"requested_by":{"type":"towpath"},"requested_at":"1970-01-01T00:00:01Z","asked_at":"1970-01-01T00:00:01Z","votes":[],"gates":[],"soaked":[],"started_at":null,"rollout":null,"outcome":null,"finished_at":null}');
INSERT INTO documents VALUES ('shop', 'production', 1, 'environment: production', 'ada', 1700000000000000);
INSERT INTO configs VALUES ('sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 'shop', 'production', 1700000000000000, '{}');
INSERT INTO secrets VALUES ('shop', 'production', 'TOKEN', 1, X'0606', 'ada', 1700000000000000);
INSERT INTO attempts VALUES
    ('00000000-0000-0000-0000-000000000007', 'shop', 'run', '00000000-0000-0000-0000-000000000001', 'queued', '{"os":"linux"}', 0, NULL, NULL,
     1700000000000000, '{}');
INSERT INTO outbox VALUES (1, 'run', 'shop', '00000000-0000-0000-0000-000000000001', '{"type":"prepare-source"}', 0, 1700000000000000);
INSERT INTO agents VALUES
    ('0197aa00-0000-7000-8000-000000000006', 'build-1', '{}', TRUE, FALSE, '10.0.0.1', '0.1.0', 1700000000000000, 3);
INSERT INTO gateways VALUES ('local', '0.1.0', 'session', 7, 1700000000000000);
INSERT INTO counters VALUES ('routes', 4);
INSERT INTO measurements VALUES ('shop', 'production', 1700000000, 'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 10, 1, 0, 500, '[9,1]');
