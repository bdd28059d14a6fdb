-- A document with one channel, and what it was told.
INSERT INTO notification_documents VALUES
    ('shop', 1, 'project: shop', '{"project":"shop","channels":{"releases":{"type":"slack","secret":"SLACK_URL"}},"routes":[{"on":["deployed"],"environments":[],"to":["releases"]}],"templates":{},"alerts":null}', 'ada', 1700000000000000);
INSERT INTO deliveries VALUES
    (1, 'shop', 'releases', '', NULL,
     '{"event":"deployed","project":"shop","environment":"production","version":"1.0.0","actor":"towpath","text":"1.0.0 runs","url":"http://t/","at":"1970-01-01T00:00:00Z","promotion":null}',
     'sent', '', 1700000000000000, 1700000001000000);
