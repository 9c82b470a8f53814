#!/bin/bash
# Runs once, on an empty data folder: a database and a role for each service, without access for the other roles.
set -euo pipefail
for service in catalog inventory payments shipping orders notifications; do
  psql -v ON_ERROR_STOP=1 -v service="$service" -v password="$POSTGRES_PASSWORD" \
    --username "$POSTGRES_USER" --dbname postgres --quiet <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE CONNECT ON DATABASE :"service" FROM PUBLIC;
SQL
done
