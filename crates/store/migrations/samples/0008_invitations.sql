-- An invitation that nobody has used.
INSERT INTO invitations VALUES ('0197aa00-0000-7000-8000-000000000001', X'0808', 1700086400000000);
