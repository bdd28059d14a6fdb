-- A Release that starts no more.
INSERT INTO revocations
    SELECT digest, project, 1000000,
           '{"version":"1.0.0","by":{"type":"user","id":"00000000-0000-0000-0000-000000000001","login":"ada"},"at":"1970-01-01T00:00:01Z","reason":"CVE-2026-1"}'
    FROM releases WHERE version = '1.0.0';
