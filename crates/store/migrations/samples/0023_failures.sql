-- A failure of the Attempt that is queued.
INSERT INTO failures VALUES
    ('00000000-0000-0000-0000-000000000007', 'shop', 'error: lock #', 'error: lock 4 is stuck', 17, 1, 'test', 1, 'cargo test', 'build-1',
     'cccccccccccccccccccccccccccccccccccccccc', 1700000000000000);
