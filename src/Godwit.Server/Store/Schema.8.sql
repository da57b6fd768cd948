-- Version 8: hosts that are fenced by their own watchdog. What is counted on: its arming, the longest lease, the timeout.
ALTER TABLE hosts ADD COLUMN watchdog TEXT;
