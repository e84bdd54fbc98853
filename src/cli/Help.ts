/**
 * The help text of a command.
 */
import type { CommandSpec, OptionSpec } from "./Spec.ts"
import { exitsOf } from "./Spec.ts"
import * as standard from "./specs/standardOptions.ts"
import { wrap } from "./Wrap.ts"

/** The help of a command, at most `width` columns wide. */
export const help = (path: ReadonlyArray<string>, spec: CommandSpec, width: number): string => {
  const sections: Array<string> = [wrap(`${path.join(" ")}: ${spec.summary}`, width)]
  for (const paragraph of spec.description ?? []) sections.push(wrap(paragraph, width))
  sections.push(`Usage: ${usage(path, spec)}`)
  if (spec.commands !== undefined) {
    sections.push(
      section(
        "Commands",
        spec.commands.map((command) => [command.name, command.summary]),
        width
      )
    )
  }
  if (spec.arguments !== undefined) {
    sections.push(
      section(
        "Arguments",
        spec.arguments.map((argument) => [`<${argument.name}>`, argument.description]),
        width
      )
    )
  }
  for (const [title, options] of grouped(spec)) {
    if (options.length > 0) {
      sections.push(
        section(
          title,
          options.map((option) => [optionNames(option), optionText(option)]),
          width
        )
      )
    }
  }
  if (path.length === 1) {
    sections.push(
      section(
        "Everywhere",
        [
          ["-h, --help", "This help; also of each command"],
          ["-V, --version", "The version"],
          ["--completions <shell>", 'Completions for bash, zsh or fish: eval "$(plinth --completions bash)"']
        ],
        width
      )
    )
  }
  if (spec.examples !== undefined) {
    const lines = spec.examples.map((example) => `  ${example.command}\n      ${example.does}`)
    sections.push(`Examples\n${lines.join("\n")}`)
  }
  if (spec.commands === undefined) {
    sections.push(
      section(
        "Exit codes",
        exitsOf(spec).map(([code, meaning]) => [String(code), meaning]),
        width
      )
    )
  }
  return sections.join("\n\n")
}

/** A command's own options, then those that it shares with others. */
export const grouped = (
  spec: CommandSpec
): ReadonlyArray<readonly [title: string, options: ReadonlyArray<OptionSpec>]> => {
  const options = Object.values(spec.options)
  const database: ReadonlyArray<OptionSpec> = Object.values(standard.database)
  const output: ReadonlyArray<OptionSpec> = Object.values(standard.output)
  return [
    ["Options", options.filter((option) => !database.includes(option) && !output.includes(option))],
    ["Which database", options.filter((option) => database.includes(option))],
    ["Everywhere", options.filter((option) => output.includes(option))]
  ]
}

/** How a command is written. */
export const usage = (path: ReadonlyArray<string>, spec: CommandSpec): string =>
  [
    ...path,
    ...(spec.commands !== undefined ? [spec.defaultCommand === undefined ? "<command>" : "[command]"] : []),
    ...(Object.keys(spec.options).length > 0 ? ["[options]"] : []),
    ...(spec.arguments ?? []).map((argument) => {
      const name = `<${argument.name}>${argument.repeatable === true ? ".." : ""}`
      return argument.optional === true ? `[${name}]` : name
    })
  ].join(" ")

/** `-y, --yes` or `--url <url>`. */
const optionNames = (option: OptionSpec): string => {
  const alias = option.alias === undefined ? "" : `-${option.alias}, `
  return `${alias}--${option.name}${option.value === undefined ? "" : ` <${option.value}>`}`
}

/** What an option does, with its choices, default and variable. */
const optionText = (option: OptionSpec): string => {
  const notes = [
    option.choices === undefined ? undefined : option.choices.join(" | "),
    option.default === undefined ? undefined : `default: ${option.default}`,
    option.variable
  ].filter((note) => note !== undefined)
  return notes.length === 0 ? option.description : `${option.description} [${notes.join("; ")}]`
}

const section = (title: string, rows: ReadonlyArray<readonly [string, string]>, width: number): string => {
  const left = Math.min(28, Math.max(...rows.map(([name]) => name.length)))
  const indent = " ".repeat(left + 4)
  const lines = rows.map(([name, text]) => {
    const body = wrap(text, Math.max(30, width - indent.length))
      .split("\n")
      .join(`\n${indent}`)
    return name.length > left ? `  ${name}\n${indent}${body}` : `  ${name.padEnd(left)}  ${body}`
  })
  return `${title}\n${lines.join("\n")}`
}
