-- A Job that passed twice, and its verdict on a ref.
INSERT INTO job_durations VALUES ('shop', 'test', 61000000, 2);
INSERT INTO verdicts VALUES
    ('shop', 'refs/heads/main', 'test', 1, 'cccccccccccccccccccccccccccccccccccccccc',
     '{"run":1,"commit":"cccccccccccccccccccccccccccccccccccccccc","finding":"passed","trust":"protected","definition":"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","inputs":{},"outputs":{},"artifacts":{}}');
