INSERT INTO reports SELECT * FROM report;
