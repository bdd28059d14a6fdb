INSERT INTO timeline VALUES
    (1, 1700000000000000, 'user:ada', NULL, NULL, 'user-created', 'user:ada', CAST('{"kind":"user-created"}' AS BLOB)),
    (2, 1700000000000001, 'towpath', 'shop', 'production', 'rollout-started', 'shop/production', CAST('{"kind":"rollout-started"}' AS BLOB));
