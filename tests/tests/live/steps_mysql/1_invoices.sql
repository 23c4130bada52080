CREATE TABLE invoices (id bigint PRIMARY KEY, text text NOT NULL);
INSERT INTO invoices VALUES (1, 'one');
