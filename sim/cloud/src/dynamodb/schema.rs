//! What is ours in dynoxide's SQLite file: tables that say where streams begin, end and are trimmed, and triggers that
//! keep them in the very transaction that causes the change.
//!
//! Names of ours hold a colon, which no DynamoDB table name may, so no table of the user's can collide with them. Holds
//! SQL and nothing else.

/// Run at every start; leaves what is there already.
///
/// The two indexes serve our reads and dynoxide's own search for the next number, which would otherwise read all
/// records per write. `lakebed:present` is one row: the second of our clock that new records are stamped with (dynoxide
/// stamps them by the machine's), and whether the deletes going on are TTL's. A start after a crash in the middle of
/// such deletes takes that mark back. The identity is spelled as the service model spells it; event documents of Lambda
/// and Pipes, which write `type` and `principalId`, are another form. Triggers about streams are made anew, so that a file of
/// an earlier version gets those that keep shards.
///
/// `lakebed:streams` holds what a stream shows; dynoxide's own table is made to say that both images are kept, in the very
/// transaction that begins the stream (see [`super::images`]).
pub(super) const SETUP: &str = r#"
CREATE TABLE IF NOT EXISTS "lakebed:streams" (
    table_name TEXT NOT NULL, label TEXT NOT NULL, view_type TEXT NOT NULL, key_schema TEXT NOT NULL,
    after_id INTEGER NOT NULL, last_id INTEGER, PRIMARY KEY (table_name, label));
CREATE TABLE IF NOT EXISTS "lakebed:ended" (
    table_name TEXT NOT NULL, label TEXT NOT NULL, second INTEGER NOT NULL, PRIMARY KEY (table_name, label));
CREATE TABLE IF NOT EXISTS "lakebed:shards" (
    table_name TEXT NOT NULL, label TEXT NOT NULL, number INTEGER NOT NULL, after_id INTEGER NOT NULL,
    opened INTEGER NOT NULL, PRIMARY KEY (table_name, label, number));
CREATE TABLE IF NOT EXISTS "lakebed:tokens" (
    token TEXT PRIMARY KEY, digest BLOB NOT NULL, answer TEXT NOT NULL, second INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS "lakebed:changing" (
    table_name TEXT PRIMARY KEY, status TEXT NOT NULL, until INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS "lakebed:trimmed" (table_name TEXT PRIMARY KEY, through_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS "lakebed:present" (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1), second INTEGER NOT NULL, expiring INTEGER NOT NULL);
INSERT OR IGNORE INTO "lakebed:present" (only_row, second, expiring) VALUES (1, 0, 0);
UPDATE "lakebed:present" SET expiring = 0;
CREATE INDEX IF NOT EXISTS "lakebed:records_by_table" ON _stream_records (table_name);
CREATE INDEX IF NOT EXISTS "lakebed:records_by_number"
    ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
CREATE TRIGGER IF NOT EXISTS "lakebed:record_is_stamped" AFTER INSERT ON _stream_records
BEGIN
    UPDATE _stream_records
    SET created_at = (SELECT second FROM "lakebed:present"),
        user_identity = CASE (SELECT expiring FROM "lakebed:present")
            WHEN 1 THEN '{"Type":"Service","PrincipalId":"dynamodb.amazonaws.com"}' ELSE NEW.user_identity END
    WHERE id = NEW.id;
END;
DROP TRIGGER IF EXISTS "lakebed:stream_ends";
CREATE TRIGGER "lakebed:stream_ends" AFTER UPDATE OF stream_enabled, stream_label ON _tables
WHEN OLD.stream_enabled = 1 AND (NEW.stream_enabled IS NOT 1 OR NEW.stream_label IS NOT OLD.stream_label)
BEGIN
    INSERT OR IGNORE INTO "lakebed:ended" (table_name, label, second)
    SELECT OLD.table_name, OLD.stream_label, second FROM "lakebed:present";
END;
DROP TRIGGER IF EXISTS "lakebed:stream_ends_with_table";
CREATE TRIGGER "lakebed:stream_ends_with_table" AFTER DELETE ON _tables WHEN OLD.stream_enabled = 1
BEGIN
    INSERT OR IGNORE INTO "lakebed:ended" (table_name, label, second)
    SELECT OLD.table_name, OLD.stream_label, second FROM "lakebed:present";
END;
DROP TRIGGER IF EXISTS "lakebed:stream_has_ended";
CREATE TRIGGER "lakebed:stream_has_ended" AFTER INSERT ON "lakebed:ended"
BEGIN
    UPDATE "lakebed:streams"
    SET last_id = COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '_stream_records'), 0)
    WHERE table_name = NEW.table_name AND label = NEW.label AND last_id IS NULL;
END;
DROP TRIGGER IF EXISTS "lakebed:stream_begins";
CREATE TRIGGER "lakebed:stream_begins" AFTER UPDATE OF stream_enabled, stream_label ON _tables
WHEN NEW.stream_enabled = 1 AND (OLD.stream_enabled IS NOT 1 OR NEW.stream_label IS NOT OLD.stream_label)
BEGIN
    INSERT INTO "lakebed:streams" (table_name, label, view_type, key_schema, after_id)
    VALUES (NEW.table_name, NEW.stream_label, NEW.stream_view_type, NEW.key_schema,
            COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '_stream_records'), 0));
    INSERT INTO "lakebed:shards" (table_name, label, number, after_id, opened)
    SELECT NEW.table_name, NEW.stream_label, 0,
           COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '_stream_records'), 0), second
    FROM "lakebed:present";
    UPDATE _tables SET stream_view_type = 'NEW_AND_OLD_IMAGES' WHERE table_name = NEW.table_name;
END;
UPDATE _tables SET stream_view_type = 'NEW_AND_OLD_IMAGES'
WHERE stream_enabled = 1 AND stream_view_type IS NOT 'NEW_AND_OLD_IMAGES' AND EXISTS (
    SELECT 1 FROM "lakebed:streams" s WHERE s.table_name = _tables.table_name AND s.label = _tables.stream_label);
INSERT INTO "lakebed:shards" (table_name, label, number, after_id, opened)
SELECT s.table_name, s.label, 0, s.after_id, p.second FROM "lakebed:streams" s, "lakebed:present" p
WHERE NOT EXISTS (SELECT 1 FROM "lakebed:shards" h WHERE h.table_name = s.table_name AND h.label = s.label);
INSERT OR IGNORE INTO "lakebed:ended" (table_name, label, second)
SELECT s.table_name, s.label, p.second FROM "lakebed:streams" s, "lakebed:present" p WHERE s.last_id IS NOT NULL;
"#;
