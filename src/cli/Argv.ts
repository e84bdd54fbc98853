/**
 * Reads the command line against the definitions: finds the command, refuses what does not exist with a suggestion, and
 * puts options and arguments into the order that `@effect/cli` parses without surprises.
 *
 * `@effect/cli` takes an unknown option for an argument, and knows options only behind their command. Checked here first,
 * a typing error is an error, and `plinth --url .. migrate up` works.
 */
import { suggest } from "../DatabaseConfig/suggest.ts"
import type { ArgumentSpec, CommandSpec, OptionSpec } from "./Spec.ts"
import { walk } from "./Spec.ts"

/** What the command line asks for. */
export type Request =
  | {
      readonly _tag: "Run"
      readonly path: ReadonlyArray<string>
      readonly spec: CommandSpec
      readonly args: ReadonlyArray<string>
    }
  | { readonly _tag: "Help"; readonly path: ReadonlyArray<string>; readonly spec: CommandSpec }
  | { readonly _tag: "Version" }
  | { readonly _tag: "Completions"; readonly shell: Shell }
  | {
      readonly _tag: "Refused"
      readonly path: ReadonlyArray<string>
      readonly problem: string
      readonly advice: string
      readonly code: number
    }

/** The shells that completions are written for. */
const shells = ["bash", "zsh", "fish"] as const

/** One of them. */
export type Shell = (typeof shells)[number]

const isShell = (name: string | undefined): name is Shell => shells.some((shell) => shell === name)

/** A command line, read. `args` are the words behind the program's name. */
export const parse = (root: CommandSpec, args: ReadonlyArray<string>): Request => {
  const located = locate(root, args)
  const refuse = (problem: string, advice: string): Request => ({
    _tag: "Refused",
    path: located.path,
    problem,
    advice,
    code: located.spec.usageExit ?? 2
  })
  const help = `\`${[...located.path, "--help"].join(" ")}\` shows what there is`

  const first = args[0]
  if (first === "--version" || first === "-V") return { _tag: "Version" }
  if (first === "--completions") {
    return isShell(args[1])
      ? { _tag: "Completions", shell: args[1] }
      : refuse("--completions needs a shell", `Choose one of ${shells.join(", ")}`)
  }
  if (located.wantsHelp) return { _tag: "Help", path: located.path, spec: located.spec }
  if (located.unknownCommand !== undefined) {
    const names = (located.spec.commands ?? []).map((command) => command.name)
    const deeper = walk(root).find(([path, { name }]) => path.length > 2 && name === located.unknownCommand)
    const near = deeper?.[0].slice(located.path.length).join(" ") ?? nearest(located.unknownCommand, names)
    const where = located.path.length === 1 ? "" : ` of ${located.path.join(" ")}`
    return refuse(
      `There is no command "${located.unknownCommand}"${where}`,
      near === undefined ? `There are: ${names.join(", ")}` : `Did you mean \`${[...located.path, near].join(" ")}\`?`
    )
  }
  if (located.spec.commands !== undefined) {
    // `-v` is --verbose here, which alone does nothing, and the version to other programs.
    const isVersionInVain = (written: string) => written === "-v" && located.path.length === 1
    const stranger = located.options.find(({ option, written }) => option === undefined || isVersionInVain(written))
    if (stranger !== undefined) {
      const near = isVersionInVain(stranger.written)
        ? "version"
        : nearest(stranger.written.replace(/^-+/, ""), answered)
      return refuse(
        `\`${located.path.join(" ")}\` has no option ${stranger.written}`,
        near === undefined ? help : `Did you mean --${near}?`
      )
    }
    return refuse(
      located.path.length === 1 ? "No command was given" : `\`${located.path.join(" ")}\` needs a command`,
      `There are: ${located.spec.commands.map((command) => command.name).join(", ")}. ${help}`
    )
  }

  const known: ReadonlyArray<OptionSpec> = Object.values(located.spec.options)
  const seen = new Set<OptionSpec>()
  for (const { option, written, value, inline } of located.options) {
    if (option === undefined || !known.includes(option)) {
      const name = written.replace(/^-+/, "")
      const near = nearest(
        name,
        known.map((candidate) => candidate.name)
      )
      return refuse(
        `\`${located.path.join(" ")}\` has no option ${written}`,
        near === undefined ? help : `Did you mean --${near}?`
      )
    }
    if (option.value === undefined && inline) {
      return refuse(`${written} is a switch and takes no value`, `Write ${written} alone`)
    }
    if (option.value !== undefined && (value === undefined || value === "")) {
      return refuse(`${written} needs a value`, `Write ${written} <${option.value}>`)
    }
    if (option.choices !== undefined && value !== undefined && !option.choices.includes(value)) {
      const near = nearest(value, option.choices)
      return refuse(
        `${written} cannot be "${value}"`,
        near === undefined ? `Choose one of ${option.choices.join(", ")}` : `Did you mean ${near}?`
      )
    }
    const form = option.value === undefined ? undefined : forms[option.value]
    if (form !== undefined && value !== undefined && !form.pattern.test(value)) {
      return refuse(`${written} cannot be "${value}"`, `It is ${form.description}`)
    }
    if (seen.has(option) && option.repeatable !== true) {
      return refuse(`${written} was given twice`, "Give it once")
    }
    seen.add(option)
  }

  const wanted: ReadonlyArray<ArgumentSpec> = located.spec.arguments ?? []
  const many = wanted.some((argument) => argument.repeatable === true)
  const extra = many ? undefined : located.words[wanted.length]
  if (extra !== undefined) return refuse(`\`${located.path.join(" ")}\` does not know what to do with "${extra}"`, help)
  const missing = wanted.slice(located.words.length).find((argument) => argument.optional !== true)
  if (missing !== undefined) {
    return refuse(`\`${located.path.join(" ")}\` needs <${missing.name}>: ${missing.description.toLowerCase()}`, help)
  }

  const options = located.options.flatMap(({ option, value }) =>
    option === undefined ? [] : value === undefined ? [`--${option.name}`] : [`--${option.name}`, value]
  )
  const words = located.words.length === 0 ? [] : ["--", ...located.words]
  return {
    _tag: "Run",
    path: located.path,
    spec: located.spec,
    args: [...located.path.slice(1), ...options, ...words]
  }
}

/** What is answered without a command. */
const answered = ["help", "version", "completions"]

/** Values whose form can be judged without knowing what they are for. */
const forms: Readonly<Partial<Record<string, { readonly pattern: RegExp; readonly description: string }>>> = {
  number: { pattern: /^\d{1,9}$/, description: "a whole number, such as 2" },
  duration: { pattern: /^\d+(\.\d+)? ?(ms|s|m|min|h)$/, description: "a number with a unit, such as 500ms, 10s or 2m" },
  rate: { pattern: /^\d+(\.\d+)? ?\/ ?(s|m|min|h)$/, description: "a number per unit of time, such as 500/s or 90/min" }
}

/** An option as it stands on the command line. */
interface WrittenOption {
  readonly option: OptionSpec | undefined
  readonly written: string
  readonly value: string | undefined
  readonly inline: boolean
}

/** The command line, sorted but not judged. */
interface Located {
  readonly path: ReadonlyArray<string>
  readonly spec: CommandSpec
  readonly options: ReadonlyArray<WrittenOption>
  readonly words: ReadonlyArray<string>
  readonly unknownCommand: string | undefined
  readonly wantsHelp: boolean
}

const locate = (root: CommandSpec, args: ReadonlyArray<string>): Located => {
  let spec = root
  const path = [root.name]
  const options: Array<WrittenOption> = []
  const words: Array<string> = []
  let unknownCommand: string | undefined
  let wantsHelp = false
  const every = optionsOf(root)

  // An option may stand before its command, so names are looked up in all commands; which one it belongs to is decided at
  // the end. A name has the same shape wherever it occurs, which a test holds.
  const find = (written: string): OptionSpec | undefined => {
    const own = Object.values(spec.options).find((option) => names(option).includes(written))
    return own ?? every.find((option) => names(option).includes(written))
  }

  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? ""
    if (arg === "--") {
      words.push(...args.slice(index + 1))
      break
    }
    if (arg === "--help" || arg === "-h") {
      wantsHelp = true
    } else if (/^--?[a-zA-Z]/.test(arg)) {
      const equals = arg.startsWith("--") ? arg.indexOf("=") : -1
      const written = equals === -1 ? arg : arg.slice(0, equals)
      const option = find(written)
      const takesNext = option?.value !== undefined && equals === -1
      const next = args[index + 1]
      // `--url --json` is a forgotten value and not a URL named --json.
      const value = equals !== -1 ? arg.slice(equals + 1) : takesNext && !isOption(next) ? next : undefined
      options.push({ option, written, value, inline: equals !== -1 })
      if (takesNext && value !== undefined) index++
    } else if (spec.commands !== undefined && unknownCommand === undefined) {
      const child = spec.commands.find((command) => command.name === arg)
      if (child !== undefined) {
        spec = child
        path.push(child.name)
      } else if (arg === "help" && path.length === 1) {
        wantsHelp = true
      } else {
        unknownCommand = arg
      }
    } else {
      words.push(arg)
    }
  }
  const fallback = wantsHelp || unknownCommand !== undefined ? undefined : spec.defaultCommand
  const chosen = spec.commands?.find((command) => command.name === fallback)
  if (chosen !== undefined) {
    spec = chosen
    path.push(chosen.name)
  }
  // Looked up again, now that the command is known: two commands may describe an option differently.
  const settled = options.map((entry) => ({ ...entry, option: find(entry.written) }))
  return { path, spec, options: settled, words, unknownCommand, wantsHelp }
}

/** The word that was meant: the one that begins like it, else the nearest. */
const nearest = (word: string, known: ReadonlyArray<string>): string | undefined =>
  known.find((candidate) => word.length >= 3 && candidate.startsWith(word)) ?? suggest(word, known)

const optionsOf = (root: CommandSpec): ReadonlyArray<OptionSpec> =>
  walk(root).flatMap(([, spec]) => Object.values(spec.options))

const names = (option: OptionSpec): ReadonlyArray<string> =>
  option.alias === undefined ? [`--${option.name}`] : [`--${option.name}`, `-${option.alias}`]

const isOption = (arg: string | undefined): boolean => arg !== undefined && /^--?[a-zA-Z]/.test(arg)
