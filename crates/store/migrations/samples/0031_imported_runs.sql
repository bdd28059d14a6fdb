INSERT INTO imported_runs (project, number, digest, bytes, at, by_whom, body) VALUES
    ('shop', 1, 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 4711, 1774000000000000, 'ada', '{}');
