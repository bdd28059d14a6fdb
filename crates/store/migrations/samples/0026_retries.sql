-- A retry that helped, and one that the budget refused.
INSERT INTO retries VALUES
    ('00000000-0000-0000-0000-000000000007', 'shop', 1, 'test', 'network', '`could not resolve host`', '', TRUE, 1700000000000000),
    ('00000000-0000-0000-0000-000000000008', 'shop', 2, 'test', 'exit_code', 'exit code 1', 'the project had 50 retries', NULL, 1700000001000000);
