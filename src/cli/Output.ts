/**
 * How a command speaks: its result on stdout, everything else on stderr, colours only for a terminal.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { Stdio } from "./Stdio.ts"
import * as Style from "./Style.ts"

/**
 * The options that say how to speak.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutputOptions {
  readonly json: boolean
  readonly quiet: boolean
  readonly verbose: boolean
  readonly debug: boolean
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Output extends Context.Tag("plinth/cli/Output")<
  Output,
  {
    readonly options: OutputOptions
    /** Whether stdout is a terminal that wants colours. */
    readonly isColoured: boolean
    /** Marks for stdout. */
    readonly style: Style.Style
    /** Marks for stderr. */
    readonly noticeStyle: Style.Style
    /** The width of the terminal that stdout is, else 0. */
    readonly width: Effect.Effect<number>
    /** Prints the result: text for a person or, with `--json`, one line of JSON. */
    readonly result: (result: { readonly text: () => string; readonly json: () => unknown }) => Effect.Effect<void>
    /** Writes a piece of the result as it is. */
    readonly print: (text: string) => Effect.Effect<void>
    /** A line on stderr that `--quiet` silences. */
    readonly notice: (text: string) => Effect.Effect<void>
    /** Ends when nobody reads stdout any more. */
    readonly closed: Effect.Effect<void>
  }
>() {}

/** Reads the options' variables, where the switch itself is not given. */
const withVariables = (options: OutputOptions): Effect.Effect<OutputOptions> =>
  Effect.all({
    json: flag(options.json, "PLINTH_JSON"),
    quiet: flag(options.quiet, "PLINTH_QUIET"),
    verbose: flag(options.verbose, "PLINTH_VERBOSE"),
    debug: flag(options.debug, "PLINTH_DEBUG")
  })

const flag = (given: boolean, variable: string): Effect.Effect<boolean> =>
  given ? Effect.succeed(true) : Effect.orElseSucceed(Config.boolean(variable), () => false)

const isSet = (variable: string): Effect.Effect<boolean> =>
  Config.string(variable).pipe(
    Effect.map((value) => value !== ""),
    Effect.orElseSucceed(() => false)
  )

/**
 * @since 0.1.0
 * @category constructors
 */
const make = (given: OutputOptions): Effect.Effect<Output["Type"], never, Stdio> =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const options = yield* withVariables(given)
    const dumb = yield* Effect.orElseSucceed(Config.string("TERM"), () => "")
    // https://no-color.org: present and not empty, whatever its value.
    const plain = options.json || dumb === "dumb" || (yield* isSet("NO_COLOR"))
    const isColoured = !plain && stdio.stdout.isTerminal
    return {
      options,
      isColoured,
      style: isColoured ? Style.terminal : Style.none,
      noticeStyle: plain || !stdio.stderr.isTerminal ? Style.none : Style.terminal,
      width: stdio.stdout.columns,
      result: ({ json, text }) => stdio.stdout.write(`${options.json ? JSON.stringify(json()) : text()}\n`),
      print: stdio.stdout.write,
      notice: (text) =>
        options.quiet
          ? Effect.void
          : stdio.stderr.write(options.json ? `${JSON.stringify({ level: "notice", message: text })}\n` : `${text}\n`),
      closed: stdio.stdout.closed
    }
  })

/**
 * The output and the logger of a command. Logs go to stderr, warnings and worse unless more is asked for.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (given: OutputOptions): Layer.Layer<Output, never, Stdio> =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const stdio = yield* Stdio
      const output = yield* make(given)
      const logger = Logger.map(output.options.json ? Logger.jsonLogger : Logger.logfmtLogger, (line) =>
        stdio.stderr.unsafeWrite(`${line}\n`)
      )
      return Layer.mergeAll(
        Layer.succeed(Output, output),
        Logger.replace(Logger.defaultLogger, logger),
        Logger.minimumLogLevel(minimumLevel(output.options))
      )
    })
  )

const minimumLevel = (options: OutputOptions): LogLevel.LogLevel =>
  options.debug ? LogLevel.Debug : options.verbose ? LogLevel.Info : options.quiet ? LogLevel.Error : LogLevel.Warning
