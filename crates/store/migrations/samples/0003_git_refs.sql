INSERT INTO git_refs VALUES ('shop', 'refs/heads/main', 'cccccccccccccccccccccccccccccccccccccccc', 1700000000000000);
