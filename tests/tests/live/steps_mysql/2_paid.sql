ALTER TABLE invoices ADD COLUMN paid boolean;
UPDATE invoices SET paid = NULL;
