-- A cache that a Run of main saved, its two blobs, and a later Run that restored it.
INSERT INTO kept_entries VALUES
    ('0198c0de-0000-7000-8000-000000000001', 'shop', 'cache', 'protected', 'linux-x86_64 abc', 'cargo-0123456789abcdef',
     'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 2, 20, 10, '00000000-0000-0000-0000-000000000001', 1, 'build',
     '00000000-0000-0000-0000-000000000002', NULL, 'cccccccccccccccccccccccccccccccccccccccc', 1000000, 1000000, 9000000, 'live', '',
     '{"parts":[{"name":"text 1","value":"cargo"},{"name":"Cargo.lock","value":"0123456789abcdef"}],"outputs":{}}');
INSERT INTO kept_blobs VALUES
    ('shop', 'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 4, 1, 1000000),
    ('shop', 'sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d', 6, 1, 1000000);
INSERT INTO kept_links VALUES
    ('0198c0de-0000-7000-8000-000000000001', 'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'),
    ('0198c0de-0000-7000-8000-000000000001', 'sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d');
INSERT INTO kept_usage VALUES ('shop', 10);
INSERT INTO kept_uses VALUES
    (1, 'shop', '00000000-0000-0000-0000-000000000001', 'build', '00000000-0000-0000-0000-000000000003', NULL, 'cache',
     'cargo-0123456789abcdef', 'hit', '0198c0de-0000-7000-8000-000000000001', '', 2000000);
