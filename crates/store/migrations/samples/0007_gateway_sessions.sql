-- The successor of the session that 0005 brought.
INSERT INTO gateway_sessions VALUES ('local', 'successor', 2, 1700000001000000);
