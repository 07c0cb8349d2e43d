-- A load can be taken out again (withdrawn), and the ledger says who took out what (unload).

alter table ops.loads drop constraint if exists loads_status_check;
alter table ops.loads add constraint loads_status_check
check (status in ('running', 'done', 'failed', 'withdrawn', 'unload'));
