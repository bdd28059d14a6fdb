INSERT INTO reports (attempt, position, kind, name, digest, bytes, problem) VALUES
    ('01900000-0000-7000-8000-00000000a001', 0, 'junit', 'target/junit.xml', 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 0, 'it is none of the dialects of JUnit XML, but empty');
INSERT INTO evidence (project, run, job, attempt, number, kind, at, body) VALUES
    ('shop', 1, 'test', '01900000-0000-7000-8000-00000000a001', 1, 'junit', 1795262640000000, '{"passed":1,"failed":1,"skipped":0,"retried":0,"quarantined":0,"millis":12,"slowest":[],"retried_tests":[],"problem":null}');
INSERT INTO tests (project, id, job, file, run, seen_at, health, millis, body) VALUES
    ('shop', 'cart::pays', 'test', 'cart.rs', 1, 1795262640000000, 'failing', 12, '{"runs":1,"failures":1,"retried":0,"millis":12,"timed":1,"recent":[{"n":1,"e":"f","t":12,"s":"sha256:0123456789ab"}]}');
INSERT INTO test_failures (project, test, run, job, attempt, number, at, quarantined, retried, body) VALUES
    ('shop', 'cart::pays', 1, 'test', '01900000-0000-7000-8000-00000000a001', 1, 1795262640000000, FALSE, FALSE, '{"message":"declined","detail":"","file":"cart.rs","line":7}');
INSERT INTO quarantines (project, test, owner, reason, by_whom, since, until) VALUES
    ('shop', 'cart::pays', 'dora', 'the sandbox of the bank is down', 'mona', 1795262640000000, 1796262640000000);
