-- A mirror of GitHub that a webhook has told of once.
INSERT INTO sources (project, settings, hook, next_look, contact_at, said, hook_at) VALUES
    ('shop', '{"url":"https://github.com/o/shop","forge":"github","poll":300,"fork_runs":"approve","statuses":"run","context":"towpath","comments":false}',
     x'00', 1700000000000000, 1700000000000000, '', 1700000000000000);
INSERT INTO hook_deliveries VALUES
    ('shop', '72d3162e-cc78-11e3-81ab-4c9367dc0958', 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 'push',
     '{"pull_request":null,"action":"","base":""}', TRUE, 1700000000000000);
