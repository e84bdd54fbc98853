-- The triggers go first and by name: the function they call cannot be dropped under them, and CASCADE would also take
-- what somebody else hung on it.
DROP TRIGGER payments_audit_delete ON payments;
DROP TRIGGER payments_audit_update ON payments;
DROP TRIGGER payments_audit_insert ON payments;
DROP TRIGGER orders_audit_delete ON orders;
DROP TRIGGER orders_audit_update ON orders;
DROP TRIGGER orders_audit_insert ON orders;
DROP TABLE audit_trail;
DROP FUNCTION refuse_change();
DROP FUNCTION audit_changes();
