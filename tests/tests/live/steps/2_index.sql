-- no-transaction
CREATE INDEX CONCURRENTLY invoices_by_text ON invoices (text);
