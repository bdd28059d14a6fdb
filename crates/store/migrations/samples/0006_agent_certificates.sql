UPDATE agent_identities SET certificate_ends = 1700086400000000 WHERE hostname = 'build-1';
