/*
 * schema.c - the tables. Times are Unix seconds, 0 for never; seq is the order of lists and their cursor (store.h).
 */
#include "store/schema.h"
#include "base/size.h"

static const char access_tables[] =
    "CREATE TABLE orgs (\n"
    "  seq {serial},\n"
    "  id {text} NOT NULL UNIQUE,\n"
    "  name {text} NOT NULL,\n"
    "  slug {text} NOT NULL UNIQUE,\n" /* in model names */
    "  created_at {int} NOT NULL\n"
    ") {strict};\n"

    "CREATE TABLE projects (\n"
    "  seq {serial},\n"
    "  id {text} NOT NULL UNIQUE,\n"
    "  org_id {text} NOT NULL REFERENCES orgs (id),\n"
    "  name {text} NOT NULL,\n"
    "  quota_bytes {int} NOT NULL,\n" /* of files; 0: none */
    "  created_at {int} NOT NULL\n"
    ") {strict};\n"
    "CREATE INDEX projects_by_org ON projects (org_id, seq);\n"

    "CREATE TABLE api_keys (\n"
    "  seq {serial},\n"
    "  id {text} NOT NULL UNIQUE,\n"
    "  project_id {text} NOT NULL REFERENCES projects (id),\n"
    "  name {text} NOT NULL,\n"
    "  hint {text} NOT NULL,\n"
    "  hash {text} NOT NULL UNIQUE,\n" /* SHA-256, hex: of the key nothing else is kept */
    "  scopes {int} NOT NULL,\n"
    "  requests_per_minute {int} NOT NULL,\n" /* 0: no limit */
    "  concurrent_requests {int} NOT NULL,\n"
    "  created_at {int} NOT NULL,\n"
    "  last_used_at {int} NOT NULL,\n"
    "  revoked_at {int} NOT NULL\n"
    ") {strict};\n"
    "CREATE INDEX api_keys_by_project ON api_keys (project_id, seq);\n"

    "CREATE TABLE invitations (\n"
    "  seq {serial},\n"
    "  id {text} NOT NULL UNIQUE,\n"
    "  hash {text} NOT NULL UNIQUE,\n" /* of the code */
    "  name {text} NOT NULL,\n"
    "  note {text} NOT NULL,\n"
    "  created_at {int} NOT NULL,\n"
    "  expires_at {int} NOT NULL,\n"
    "  used_at {int} NOT NULL,\n"
    "  org_id {text} REFERENCES orgs (id)\n" /* once used */
    ") {strict};\n"

    "CREATE TABLE audit (\n"
    "  seq {serial},\n"
    "  at {int} NOT NULL,\n"
    "  org_id {text},\n"
    "  project_id {text},\n"
    "  key_id {text},\n"
    "  action {text} NOT NULL,\n"
    "  target {text},\n"
    "  outcome {text} NOT NULL,\n"
    "  address {text}\n"
    ") {strict};\n"
    "CREATE INDEX audit_by_org ON audit (org_id, seq);\n";

static const char access_ends[] =
    "ALTER TABLE api_keys ADD COLUMN expires_at {int} NOT NULL DEFAULT 0;\n"
    "ALTER TABLE projects ADD COLUMN archived_at {int} NOT NULL DEFAULT 0";

/* What requests are making, and have made within a day (creations.h). */
static const char creations[] =
    "CREATE TABLE creations (\n"
    "  seq {serial},\n"
    "  id {text} NOT NULL UNIQUE,\n" /* of what is made */
    "  project_id {text} NOT NULL REFERENCES projects (id),\n"
    "  name {text} NOT NULL,\n"   /* the request's */
    "  digest {text} NOT NULL,\n" /* SHA-256, hex: of what it says */
    "  holder {text} NOT NULL,\n"
    "  lease_until {int} NOT NULL,\n"
    "  made {int} NOT NULL,\n"
    "  created_at {int} NOT NULL\n"
    ") {strict};\n"
    "CREATE INDEX creations_by_name ON creations (project_id, name, seq);\n"
    "CREATE INDEX creations_by_time ON creations (created_at)";

/* Which store this is (identity.c): one row. */
static const char identity[] = "CREATE TABLE identity (\n"
                               "  one {int} PRIMARY KEY,\n"
                               "  id {text} NOT NULL\n"
                               ") {strict}";

/* Whose documents wait, and what is being worked on (documents_take). */
static const char turns[] =
    "CREATE INDEX documents_by_turn ON documents (kind, state, project_id, seq) WHERE state IS NOT NULL;\n"
    "CREATE INDEX documents_leased ON documents (kind, lease_until) WHERE lease_until > 0";

/* What was refused to a key lately (audit_put). */
static const char refusals[] =
    "CREATE INDEX audit_refusals ON audit (org_id, (COALESCE(key_id, '')), action, outcome, at) "
    "WHERE outcome <> 'ok'";

/* A worker that has ended is not listed; its machine is remembered for a while (leases.c). */
static const char workers_that_ended[] =
    "ALTER TABLE workers ADD COLUMN ended_at {int} NOT NULL DEFAULT 0";

const struct db_migration schema_migrations[] = {
    {"0001 access", access_tables},
    {"0002 work", schema_work},
    {"0003 documents", schema_documents},
    {"0004 ends of keys and projects", access_ends},
    {"0005 creations", creations},
    {"0006 identity", identity},
    {"0007 turns of projects", turns},
    {"0008 refusals", refusals},
    {"0009 workers that ended", workers_that_ended},
};
const size_t schema_n_migrations = COUNT_OF(schema_migrations);
