/**
 * `plinth pool advise`: how large the pools to a server should be.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as DatabaseConfig from "../../DatabaseConfig.ts"
import { cores as coresHere } from "../../internal/node/cores.ts"
import { significant } from "../../internal/significant.ts"
import * as PoolOptimizer from "../../PoolOptimizer.ts"
import * as Bounds from "../Bounds.ts"
import { client } from "../Clients.ts"
import * as Durations from "../Durations.ts"
import * as Exit from "../Exit.ts"
import * as Format from "../Format.ts"
import { isLocal } from "../Locality.ts"
import type { DatabaseOptions } from "../Options.ts"
import { Output } from "../Output.ts"
import * as Session from "../Session.ts"
import { advise as spec } from "../specs/pool.ts"
import { table } from "../Table.ts"
import { wrap } from "../Wrap.ts"

/** What the command line says. */
export interface Input {
  readonly database: DatabaseOptions
  readonly processes: Option.Option<number>
  readonly cores: Option.Option<number>
  readonly arrivals: Option.Option<string>
  readonly service: Option.Option<string>
  readonly sample: Option.Option<string>
  readonly application: Option.Option<string>
}

/** Its own connections are not counted, which their name tells. */
const ownName = "plinth pool advise"

/** Reads the server, watches its work, and prints the advice. */
export const advise = (input: Input) =>
  Effect.gen(function* () {
    const output = yield* Output
    const given = yield* checked(input)
    const { isEmbedded, settings } = yield* Session.open(input.database, "none")
    const { primary } = settings
    const application = Option.getOrElse(input.application, () => primary.applicationName)
    const isHere = isEmbedded || isLocal(primary)
    const cores = yield* Option.match(given.cores, {
      onSome: Effect.succeedSome,
      onNone: () => (isHere ? Effect.asSome(coresHere) : Effect.succeedNone)
    })
    if (Option.isNone(given.cores) && Option.isSome(cores)) {
      yield* output.notice(
        `The server is on this machine: taking its ${Format.plural(cores.value, "core")} for the server's, unless --cores says otherwise.`
      )
    }

    const { sample, survey } = yield* Effect.all({
      survey: PoolOptimizer.survey,
      sample: given.isComplete ? Effect.succeed(undefined) : watch(given.window)
    }).pipe(Effect.provide(client({ ...primary, applicationName: ownName }, settings)))

    const mine = survey.applications.filter((other) => isOf(application, other.application))
    const others = sum(survey.applications) - sum(mine)
    const { source, workload } = workOf(given, sample)
    const server = {
      maxConnections: survey.maxConnections,
      superuserReserved: survey.superuserReserved,
      reserved: survey.reserved,
      others,
      cores: Option.getOrUndefined(cores)
    }
    const advice = PoolOptimizer.advise({ server, workload, processes: given.processes })
    const complete = { ...advice, unknowns: [...advice.unknowns, ...unknowns(application, survey, mine, sample)] }
    const work = {
      source,
      arrivalsPerSecond: workload?.arrivalsPerSecond ?? null,
      useMs: millisOf(workload?.use),
      activeMs: millisOf(workload?.active),
      roundTripMs: sample?.roundTripMs ?? null
    }
    const database = DatabaseConfig.nodeName(primary)
    const width = yield* output.width
    yield* output.result({
      json: () => ({
        schema: spec.json.schema,
        database,
        server: { ...server, cores: server.cores ?? null },
        applications: survey.applications,
        work,
        ...complete
      }),
      text: () =>
        [
          `${database}: max_connections ${survey.maxConnections}, ${survey.superuserReserved + survey.reserved} of them reserved; ${Format.plural(sum(survey.applications), "connection")} now.`,
          ...(survey.applications.length === 0 ? [] : ["", applicationTable(survey.applications, width, output)]),
          "",
          ...(workload === undefined ? [] : [workText(work), ""]),
          ...PoolOptimizer.renderText(complete).split("\n").map(indented(width))
        ].join("\n")
    })
    yield* Exit.finish(complete.alerts.length === 0 ? Exit.done : Exit.findings)
  }).pipe(Effect.scoped)

/** What the options say, before anything is connected to. */
const checked = (input: Input) =>
  Effect.gen(function* () {
    const { options } = spec
    const processes = yield* Bounds.count(input.processes, options.processes)
    const cores = yield* Bounds.count(input.cores, options.cores)
    const arrivals = yield* Bounds.rate(input.arrivals, options.arrivals)
    const service = yield* Bounds.duration(input.service, options.service, Duration.millis(0.001))
    const window = yield* Bounds.duration(input.sample, options.sample, Duration.seconds(1))
    return {
      processes: Option.getOrElse(processes, () => 1),
      cores,
      arrivals,
      service,
      window: Option.getOrElse(window, () => Durations.fromText(options.sample.default)),
      isComplete: Option.isSome(arrivals) && Option.isSome(service)
    }
  })

type Given = Effect.Effect.Success<ReturnType<typeof checked>>

const watch = (window: Duration.Duration) =>
  Effect.gen(function* () {
    const output = yield* Output
    yield* output.notice(`Watching the work of the database for ${Format.duration(window)} ..`)
    return yield* PoolOptimizer.sample(window)
  })

/** What the options say wins over what was measured. */
const workOf = (given: Given, sample: PoolOptimizer.Sample | undefined) => {
  const measured = sample?.workload
  const arrivalsPerSecond = Option.getOrUndefined(given.arrivals) ?? measured?.arrivalsPerSecond
  const use = Option.getOrUndefined(given.service) ?? measured?.use
  if (arrivalsPerSecond === undefined || use === undefined) return { source: "unknown", workload: undefined }
  const active = Option.isSome(given.service) ? undefined : measured?.active
  const isGiven = Option.isSome(given.arrivals) || Option.isSome(given.service)
  const source = given.isComplete ? "options" : isGiven ? "both" : "measured"
  return { source, workload: { arrivalsPerSecond, use, active } }
}

/** Whether a connection belongs to the application: its pool, or what Plinth opens beside it. */
const isOf = (application: string, name: string): boolean =>
  [application, ...["monitor", "health", "listener"].map((part) => `${application} ${part}`)].includes(name)

const unknowns = (
  application: string,
  survey: PoolOptimizer.Survey,
  mine: ReadonlyArray<PoolOptimizer.Application>,
  sample: PoolOptimizer.Sample | undefined
): ReadonlyArray<string> => [
  ...(sample?.reason === undefined
    ? []
    : [`The work of the database: ${sample.reason}. Give --arrivals and --service, or a longer --sample under load`]),
  ...(mine.length > 0 || survey.applications.length === 0
    ? []
    : [
        `Which connections are yours: none has the application_name "${application}", so all were taken for those of others. --application names yours`
      ]),
  ...(survey.seesAll
    ? []
    : ["What the sessions of other users do: GRANT pg_monitor to this user shows it. Their number is right"])
]

const applicationTable = (
  applications: ReadonlyArray<PoolOptimizer.Application>,
  width: number,
  output: Output["Type"]
): string =>
  table(
    [
      { title: "application" },
      { title: "connections", align: "right" },
      { title: "active", align: "right" },
      { title: "idle in transaction", align: "right" }
    ],
    applications.map((row) => [
      row.application,
      String(row.connections),
      String(row.active),
      String(row.idleInTransaction)
    ]),
    { width, heading: output.style.bold }
  )

const workText = (work: {
  readonly source: string
  readonly arrivalsPerSecond: number | null
  readonly useMs: number | null
}): string => {
  const from = { options: "as given", both: "partly measured", measured: "measured" }[work.source] ?? work.source
  return `Work (${from}): ${significant(work.arrivalsPerSecond ?? 0)} uses a second, each of ${significant(work.useMs ?? 0)} ms.`
}

const millisOf = (duration: Duration.DurationInput | undefined): number | null =>
  duration === undefined ? null : Duration.toMillis(duration)

const sum = (applications: ReadonlyArray<PoolOptimizer.Application>): number =>
  applications.reduce((total, { connections }) => total + connections, 0)

/** Lines of the width of the terminal, the items of lists hanging. */
const indented =
  (width: number) =>
  (line: string): string =>
    width === 0 ? line : wrap(line, Math.max(40, width - 2)).replaceAll("\n", line.startsWith("- ") ? "\n  " : "\n")
