-- One that is over.
INSERT INTO incidents VALUES
    ('shop', 1, 'production', 1700000000000000, 1700000900000000,
     '{"number":1,"environment":"production","version":"1.0.0","title":"checkout fails","opened_by":"ada","opened_at":"2023-11-14T22:13:20Z","closed_by":"ada","closed_at":"2023-11-14T22:28:20Z","comment":"rolled back"}');
