/**
 * Who waits for a lock, and who is at the root of it.
 */
import * as Schema from "effect/Schema"
import { finding, grade, perNode } from "../../HealthCheck.ts"
import { summary } from "../../SqlText.ts"

const Row = Schema.Struct({
  pid: Schema.Int,
  /** Empty for a session that blocks and does not wait; 0 stands for a prepared transaction. */
  blockers: Schema.Array(Schema.Int),
  waitSeconds: Schema.Number,
  /** What it waits for, `ShareLock on public.orders`. */
  waitsFor: Schema.String,
  application: Schema.String,
  user: Schema.String,
  /** NULL where the user may not see it. */
  state: Schema.NullOr(Schema.String),
  /** What it runs or has run last; only its summary is shown. */
  statement: Schema.NullOr(Schema.String)
})

type Row = typeof Row.Type

/** A root and all that wait behind it, by depth. */
interface Tree {
  readonly root: Row
  readonly waiting: ReadonlyArray<{ readonly row: Row; readonly depth: number }>
}

/**
 * The trees of waiting sessions. A root blocks and does not wait; in a circle, which `deadlock_timeout` will break, the
 * smallest pid is taken for it. Each session appears once, under the first root that reaches it.
 *
 * @since 0.1.0
 * @category evaluation
 */
export const trees = (rows: ReadonlyArray<Row>): ReadonlyArray<Tree> => {
  const seen = new Set<number>()
  const behind = (pid: number, depth: number): Tree["waiting"] =>
    rows
      .filter((row) => row.blockers.includes(pid))
      .flatMap((row) => {
        if (seen.has(row.pid)) return []
        seen.add(row.pid)
        return [{ row, depth }, ...behind(row.pid, depth + 1)]
      })
  const ordered = [...rows].sort(
    (a, b) => Math.min(1, a.blockers.length) - Math.min(1, b.blockers.length) || a.pid - b.pid
  )
  return ordered.flatMap((root) => {
    if (seen.has(root.pid)) return []
    seen.add(root.pid)
    const waiting = behind(root.pid, 1)
    return waiting.length === 0 ? [] : [{ root, waiting }]
  })
}

const nameOf = (row: Row): string => {
  if (row.pid === 0) return "a prepared transaction"
  return row.application === "" ? `user ${row.user}` : row.application
}

/** The operation and its tables; a statement's text may hold anybody's data. */
const doing = ({ state, statement }: Row): string => {
  const what = statement === null ? "" : summary(statement)
  if (state === null) return ""
  if (state === "active") return what === "" ? "" : `, running ${what}`
  return `, ${state}${what === "" ? "" : ` after ${what}`}`
}

const longestWait = (tree: Tree): number =>
  Math.max(tree.root.waitSeconds, ...tree.waiting.map(({ row }) => row.waitSeconds))

const remediation = (root: Row): string => {
  if (root.pid === 0) {
    return "SELECT gid, prepared, owner FROM pg_prepared_xacts ORDER BY prepared; then ROLLBACK PREPARED '<gid>';"
  }
  // A session that is idle in its transaction has nothing that could be cancelled.
  const call = root.state?.startsWith("idle in transaction") === true ? "pg_terminate_backend" : "pg_cancel_backend"
  return `SELECT ${call}(${root.pid});`
}

export const blocking = perNode({
  id: "blocking",
  title: "Nobody waits long for a lock",
  category: "sessions",
  tier: "fast",
  doc: "Sessions that wait for a lock, as trees: ending the root lets everybody behind it go on.",
  on: "primary",
  row: Row,
  thresholds: {
    wait: {
      warning: 60,
      critical: 300,
      unit: "seconds",
      source: "pgEdge's alert rule Long Lock Wait Time: 60 s; at 300 s most pools have run dry behind it"
    }
  },
  // pg_blocking_pids is asked for those that wait only: it takes the lock manager's locks.
  sql: () => `
WITH waiting AS (
  SELECT DISTINCT ON (l.pid) l.pid, pg_blocking_pids(l.pid) AS blockers,
         coalesce(extract(epoch FROM clock_timestamp() - l.waitstart), 0)::float8 AS seconds,
         l.mode || coalesce(' on ' || CASE WHEN l.database = d.oid THEN l.relation::regclass::text END, ' (' || l.locktype || ')') AS lock
  FROM pg_catalog.pg_locks AS l
  LEFT JOIN pg_catalog.pg_database AS d ON d.datname = current_database()
  WHERE NOT l.granted
  ORDER BY l.pid, l.waitstart
), involved AS (
  SELECT pid, blockers, seconds, lock FROM waiting
  UNION ALL
  SELECT DISTINCT blocker, '{}'::int[], 0::float8, ''
  FROM waiting, unnest(blockers) AS blocker
  WHERE blocker NOT IN (SELECT pid FROM waiting)
)
SELECT i.pid, i.blockers, i.seconds AS "waitSeconds", i.lock AS "waitsFor",
       coalesce(a.application_name, '') AS "application", coalesce(a.usename::text, '') AS "user", a.state,
       CASE WHEN a.state IS NOT NULL THEN a.query END AS "statement"
FROM involved AS i
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = i.pid`,
  evaluate: (rows, { wait }) =>
    trees(rows).flatMap((tree) => {
      const seconds = longestWait(tree)
      const severity = grade(seconds, wait)
      const { root, waiting } = tree
      return severity === undefined
        ? []
        : [
            finding({
              severity,
              subject: nameOf(root),
              evidence: `${nameOf(root)} (pid ${root.pid}${doing(root)}) blocks ${waiting.length} session${waiting.length === 1 ? "" : "s"}, the longest for ${Math.round(seconds)} s`,
              detail: waiting.map(
                ({ depth, row }) =>
                  `${"  ".repeat(depth)}pid ${row.pid} (${nameOf(row)}${doing(row)}) waits ${Math.round(row.waitSeconds)} s for ${row.waitsFor}`
              ),
              remediation: remediation(root)
            })
          ]
    }),
  measure: (rows, { wait }) => [
    { name: "waiting", unit: "count", value: rows.filter((row) => row.blockers.length > 0).length, minimum: 0 },
    {
      name: "longest_wait",
      unit: "seconds",
      value: Math.max(0, ...rows.map((row) => row.waitSeconds)),
      threshold: wait,
      minimum: 0
    }
  ]
})
