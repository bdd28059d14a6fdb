-- A person who was invited and has not come yet.
INSERT INTO users VALUES
    ('0197aa00-0000-7000-8000-000000000080', 'bea', 'Bea', 'bea@example.org', NULL, FALSE, 1700000000000000);
INSERT INTO invitations VALUES ('0197aa00-0000-7000-8000-000000000080', X'0808', 1700086400000000);
