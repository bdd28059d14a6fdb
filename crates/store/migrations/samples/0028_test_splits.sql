INSERT INTO test_splits (project, run, job, digest) VALUES
    ('shop', 1, 'test', 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
