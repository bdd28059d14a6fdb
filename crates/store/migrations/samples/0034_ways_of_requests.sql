INSERT INTO measurements (project, environment, second, revision, way, requests, errors, gateway_errors, weight, latency)
    VALUES ('shop', 'production', 1763690405, 'sha256:2222222222222222222222222222222222222222222222222222222222222222', 'routed', 3, 1, 0, 50, '[3, 0]');
