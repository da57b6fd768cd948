-- Version 13: what every move of a VM keeps, unless its order says otherwise. NULL: nothing is kept, the defaults hold.
ALTER TABLE vms ADD COLUMN move_limits TEXT;
