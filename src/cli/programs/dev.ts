/**
 * `plinth dev`: an embedded primary and its replicas in the foreground.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { raise } from "../../internal/node/signals.ts"
import * as Durations from "../Durations.ts"
import * as Embedded from "../Embedded.ts"
import * as NodeKeys from "../NodeKeys.ts"
import { Output } from "../Output.ts"
import { Stdio } from "../Stdio.ts"

/** What the command line says. */
export interface Input {
  readonly replicas: Option.Option<number>
  readonly lag: Option.Option<string>
  readonly directory: Option.Option<string>
  readonly temporary: boolean
}

/** Runs until it is ended. */
export const dev = (input: Input) =>
  Effect.gen(function* () {
    const { notice, noticeStyle, result, style } = yield* Output
    const { stdin } = yield* Stdio
    const directory = Option.getOrElse(input.directory, () => Embedded.directory)
    const { cluster, replicaUrls, url } = yield* Embedded.start({
      directory: input.temporary ? undefined : directory,
      replicas: Option.getOrElse(input.replicas, () => 1),
      lag: Option.getOrUndefined(Option.map(input.lag, Durations.fromText))
    })
    const nodes = [cluster.primary, ...cluster.replicas]
    // The URLs are what the command is for; the passwords in them are local ones.
    const urls = [url, ...replicaUrls].map(Redacted.value)
    const width = Math.max(...nodes.map(({ name }) => name.length))
    yield* result({
      json: () => ({
        schema: "plinth.dev/1",
        serverVersion: cluster.serverVersion,
        nodes: nodes.map(({ name, port }, index) => ({ name, port, url: urls[index] }))
      }),
      text: () => nodes.map(({ name }, index) => `${style.bold(name.padEnd(width))}  ${urls[index]}`).join("\n")
    })
    yield* notice(noticeStyle.dim(stdin.isTerminal ? NodeKeys.legend : "Ctrl-C or SIGTERM ends it."))

    const press = yield* NodeKeys.make(nodes)
    const ending = yield* stdin.keys.pipe(
      Stream.mapEffect(press),
      Stream.filter((pressed) => pressed !== "handled"),
      Stream.runHead
    )
    // Without a terminal stdin may end at once; the cluster does not.
    if (Option.isNone(ending)) return yield* Effect.never
    if (ending.value === "interrupt") return yield* raiseInterrupt
    yield* notice("Stopping ..")
  }).pipe(Effect.scoped)

/** In raw mode the terminal sends Ctrl-C as a key and raises no signal. */
const raiseInterrupt = Effect.zipRight(
  Effect.sync(() => raise("SIGINT")),
  Effect.never
)
