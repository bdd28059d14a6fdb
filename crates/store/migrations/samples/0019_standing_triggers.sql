-- A schedule and a trigger on another Project's Releases.
INSERT INTO standing_triggers VALUES
    ('shop', 0, 'schedule', '', '{"cron":{"cron":"0 3 * * mon-fri","timezone":"Europe/Berlin"},"branch":null}', 1700000000000000, NULL, ''),
    ('shop', 1, 'release', 'base', '{"project":"base","versions":["2.*"]}', NULL, 1700000000000000, 'started shop#1');
