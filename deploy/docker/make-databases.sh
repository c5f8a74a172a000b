#!/usr/bin/env bash
# Runs once, when the Postgres volume is empty: a database and a role for each service. No role may enter another's database.
set -euo pipefail

for variable in API_GATEWAY PROMPT_SERVICE PROVIDER_WORKER STORAGE_SERVICE COST_LEDGER; do
    variable=${variable}_DATABASE_PASSWORD
    [ -n "${!variable:-}" ] || { echo "$variable is empty: set it in .env, see deploy/docker/example.env" >&2; exit 1; }
done

# Requests read as this role, held to one tenant by row-level security; a service's own role may not create roles here.
psql --username "$POSTGRES_USER" --dbname postgres --quiet --set ON_ERROR_STOP=1 \
    --command "CREATE ROLE backlot_reader NOLOGIN"

make_database() {
    local name=$1 password=$2
    psql --username "$POSTGRES_USER" --dbname postgres --quiet --set ON_ERROR_STOP=1 \
        --set name="$name" --set password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
GRANT backlot_reader TO :"name";
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT, TEMPORARY ON DATABASE :"name" FROM PUBLIC;
SQL
}

make_database api_gateway "$API_GATEWAY_DATABASE_PASSWORD"
make_database prompt_service "$PROMPT_SERVICE_DATABASE_PASSWORD"
make_database provider_worker "$PROVIDER_WORKER_DATABASE_PASSWORD"
make_database storage_service "$STORAGE_SERVICE_DATABASE_PASSWORD"
make_database cost_ledger "$COST_LEDGER_DATABASE_PASSWORD"
# The connector is another platform: who does not run it has no password for it, and no database.
[ -z "${NOTION_CONNECTOR_DATABASE_PASSWORD:-}" ] || make_database notion_connector "$NOTION_CONNECTOR_DATABASE_PASSWORD"
