/**
 * The statement that reads, in one round trip, what a catalogue is made of. Every name in it is qualified: it answers the
 * same under any search path. Needs no privilege beyond those of PUBLIC.
 */
import { harmfulFunctions } from "./exceptions.ts"

/**
 * What a stored expression uses, from its node tree: `pg_depend` is silent about everything that PostgreSQL itself brings
 * along (`nextval` in a view leaves no trace there). `f123` is a function, `o` an operator, `r` a relation, `t` a type.
 */
const uses = (tree: string): string => `
  (SELECT COALESCE(pg_catalog.json_agg(DISTINCT CASE m[1]
       WHEN 'opno' THEN 'o' WHEN 'relid' THEN 'r' WHEN 'resulttype' THEN 't' ELSE 'f' END || m[2]), '[]')
   FROM pg_catalog.regexp_matches(${tree}::pg_catalog.text,
     ' :(funcid|opfuncid|aggfnoid|winfnoid|opno|relid|resulttype) ([1-9][0-9]*)', 'g') AS m)`

/** Rows of a subquery as one JSON array. */
const rows = (query: string): string =>
  `(SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(q)), '[]') FROM (${query}) AS q)`

/** `FirstNormalObjectId`: what users create has no smaller oid. */
const firstOwnOid = 16384

const isSystem = "n.nspname IN ('pg_catalog', 'information_schema')"

/** What SQL cannot call: triggers, handlers, and whatever takes the server's own structures. */
const callable = `
  NOT 'pg_catalog.internal'::pg_catalog.regtype = ANY (p.proargtypes)
  AND p.prorettype NOT IN ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype,
    'pg_catalog.internal'::pg_catalog.regtype, 'pg_catalog.language_handler'::pg_catalog.regtype,
    'pg_catalog.fdw_handler'::pg_catalog.regtype, 'pg_catalog.index_am_handler'::pg_catalog.regtype,
    'pg_catalog.tsm_handler'::pg_catalog.regtype, 'pg_catalog.table_am_handler'::pg_catalog.regtype)`

/** Every name of a function in pg_catalog that does no harm, in one string; names contain no blanks there. */
const systemFunctions = `
  (SELECT pg_catalog.string_agg(DISTINCT p.proname::pg_catalog.text, ' ') FROM pg_catalog.pg_proc p
   WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.provolatile <> 'v' AND ${callable})`

const systemSuspects = rows(`
  SELECT p.oid::pg_catalog.text AS id, p.proname AS name, p.provolatile = 'v' AS volatile
  FROM pg_catalog.pg_proc p
  WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND ${callable}
    AND (p.provolatile = 'v' OR p.proname IN (${[...harmfulFunctions.keys()].map((name) => `'${name}'`).join(", ")}))`)

/** A function that is not VOLATILE is judged by its body, an aggregate by its parts, an SQL-standard body by its tree. */
const functions = rows(`
  SELECT p.oid::pg_catalog.text AS id, n.nspname AS schema, p.proname AS name,
    p.provolatile = 'v' AND p.prokind <> 'a' AS volatile,
    p.pronargs = 1 AND (SELECT t.typtype = 'c' OR t.typname = 'record' FROM pg_catalog.pg_type t
      WHERE t.oid = p.proargtypes[0]) AS attribute,
    (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
        AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass) AS extension,
    CASE WHEN p.provolatile <> 'v' AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL AND NOT ${isSystem}
      THEN p.prosrc END AS body,
    CASE WHEN p.prosqlbody IS NULL THEN '[]' ELSE ${uses("p.prosqlbody")} END AS uses,
    CASE WHEN a.aggfnoid IS NULL THEN '[]' ELSE pg_catalog.json_build_array('f' || a.aggtransfn::pg_catalog.oid,
      'f' || a.aggfinalfn::pg_catalog.oid, 'f' || a.aggmtransfn::pg_catalog.oid,
      'f' || a.aggminvtransfn::pg_catalog.oid, 'f' || a.aggmfinalfn::pg_catalog.oid) END AS parts,
    (SELECT pg_catalog.json_agg('t' || x.type) FROM pg_catalog.unnest(p.proargtypes::pg_catalog.oid[] || p.prorettype) AS x (type)) AS types
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  LEFT JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
  WHERE n.nspname <> 'pg_catalog' AND ${callable}`)

const operators = rows(`
  SELECT o.oid::pg_catalog.text AS id, o.oprname AS name, 'f' || o.oprcode::pg_catalog.oid AS code
  FROM pg_catalog.pg_operator o
  WHERE o.oprnamespace <> 'pg_catalog'::pg_catalog.regnamespace`)

/** Partitions count for their parents; the columns of own types for what showing or converting them runs. */
const relations = rows(`
  SELECT c.oid::pg_catalog.text AS id, n.nspname AS schema, c.relname AS name, c.relkind AS kind,
    c.relpersistence AS persistence,
    CASE WHEN c.relkind <> 'v' THEN '[]' ELSE COALESCE((SELECT ${uses("w.ev_action")} FROM pg_catalog.pg_rewrite w
      WHERE w.ev_class = c.oid AND w.ev_type = '1'), '[]') END AS uses,
    (SELECT pg_catalog.json_agg('r' || i.inhrelid) FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AS children,
    CASE WHEN c.relrowsecurity THEN (SELECT pg_catalog.json_agg(${uses("y.polqual")}) FROM pg_catalog.pg_policy y
      WHERE y.polrelid = c.oid AND y.polcmd IN ('*', 'r')) END AS policies,
    (SELECT pg_catalog.json_agg(DISTINCT 'v' || a.atttypid) FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.atttypid >= ${firstOwnOid}) AS columns
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT ${isSystem} AND n.nspname <> 'pg_toast'`)

const systemRelations = rows(`
  SELECT n.nspname AS schema, c.relname AS name
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'v') AND ${isSystem}`)

/**
 * The row types of tables (and arrays of them) are left out: there is one for each table, and naming one runs nothing of its
 * own. Naming any other type may run its input function, its constraints, and any cast to it.
 */
const types = rows(`
  SELECT t.oid::pg_catalog.text AS id, n.nspname AS schema, t.typname AS name,
    'f' || t.typinput::pg_catalog.oid AS input, 'f' || t.typoutput::pg_catalog.oid AS output,
    't' || t.typbasetype AS base, 't' || t.typelem AS element,
    (SELECT pg_catalog.json_agg(${uses("k.conbin")}) FROM pg_catalog.pg_constraint k
      WHERE k.contypid = t.oid AND k.conbin IS NOT NULL) AS constraints,
    (SELECT pg_catalog.json_agg('f' || s.castfunc) FROM pg_catalog.pg_cast s
      WHERE s.casttarget = t.oid AND s.castfunc <> 0) AS casts,
    (SELECT pg_catalog.json_agg('f' || s.castfunc) FROM pg_catalog.pg_cast s
      WHERE s.castsource = t.oid AND s.castfunc <> 0 AND s.castcontext = 'i') AS conversions,
    (SELECT pg_catalog.json_agg('t' || a.atttypid) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c
      ON c.oid = a.attrelid WHERE c.oid = t.typrelid AND c.relkind = 'c' AND NOT a.attisdropped) AS attributes
  FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
  LEFT JOIN pg_catalog.pg_class c ON c.oid = COALESCE(NULLIF(t.typrelid, 0), e.typrelid)
  WHERE (NOT ${isSystem} AND (c.relkind IS NULL OR c.relkind = 'c') AND n.nspname <> 'pg_toast')
    OR EXISTS (SELECT FROM pg_catalog.pg_cast s WHERE s.casttarget = t.oid AND s.castfunc >= ${firstOwnOid})`)

const systemTypes = `
  (SELECT pg_catalog.string_agg(t.typname::pg_catalog.text, ' ') FROM pg_catalog.pg_type t
   WHERE t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AND t.typtype IN ('b', 'r', 'm'))`

export const snapshotSql = `
  SELECT pg_catalog.json_build_object(
    'backslashEscapes', pg_catalog.current_setting('standard_conforming_strings') = 'off',
    'systemFunctions', ${systemFunctions},
    'systemSuspects', ${systemSuspects},
    'systemRelations', ${systemRelations},
    'systemTypes', ${systemTypes},
    'functions', ${functions},
    'operators', ${operators},
    'relations', ${relations},
    'types', ${types}
  )::pg_catalog.text AS snapshot`
