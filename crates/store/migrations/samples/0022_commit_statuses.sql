-- A status that the forge knows.
INSERT INTO commit_statuses VALUES
    ('00000000-0000-0000-0000-000000000001', 'towpath/push', 'shop', '{"kind":"status"}', '{"kind":"status"}', 1700000000000000, '');
