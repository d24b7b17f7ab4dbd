-- The operator is woken by deliveries that somebody else made pending: new ones, and those to be
-- replayed. Its own steps wake nobody: a transaction with a signal commits alone, behind a lock of
-- the whole server, and those that take deliveries in would wait for it.
drop trigger webhook_deliveries_wake on webhook_deliveries;
create trigger webhook_deliveries_wake_insert after insert on webhook_deliveries
    for each statement execute function zw.wake('zw_operator');
create trigger webhook_deliveries_wake after update on webhook_deliveries for each row
    when (old.status <> 'pending' and new.status = 'pending')
    execute function zw.wake_operator_row();
