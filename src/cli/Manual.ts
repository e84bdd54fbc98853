/**
 * The manual of all commands, written from their definitions: `docs/cli.md`.
 */
import { grouped, usage } from "./Help.ts"
import type { CommandSpec, ExitSpec, JsonSpec, OptionSpec } from "./Spec.ts"
import { commonExits, walk } from "./Spec.ts"
import * as standard from "./specs/standardOptions.ts"

/** The manual in Markdown. */
export const manual = (root: CommandSpec): string =>
  [
    `# \`${root.name}\``,
    `${root.summary}. Every section below is written from the definition that the program itself parses by.`,
    "## Manners",
    [
      "- stdout carries the result and nothing else; notices, progress and logs go to stderr. `--quiet` silences notices.",
      '- `--json` prints the result as one JSON object whose `schema` names its shape and version. stderr then carries JSON lines: `{"level": "notice" | "error", ..}`.',
      "- An option wins over its variable, a variable over the configuration file, that over the default.",
      "- Without a configured database `setup`, `migrate` and `reset` start the embedded PostgreSQL of the project, in `.plinth/`, for as long as the command runs. That never happens when any database variable is set, under `NODE_ENV=production`, or under `CI=true` without `--embedded`. `backup`, `health-check` and `pool advise` always need a URL or `--embedded`.",
      "- No colours without a terminal, under `NO_COLOR` or with `--json`.",
      "- Ctrl-C and SIGTERM end the work cleanly: the transaction is rolled back, locks are released, servers that were started are stopped. After 5 s, or at another signal that comes a second or more after the first, the program ends at once; one that comes sooner is taken for the same, since npm passes the terminal's Ctrl-C on to a program that has it already. A reader that goes away (`| head`) is no error.",
      "- Errors are one paragraph: what, where, why, what to do. `--debug` adds causes and stacks. No secret is ever printed, but for the URLs of `plinth dev`, which are what it is for."
    ].join("\n"),
    "## Exit codes",
    exitTable(commonExits),
    "Commands that mean something else by a code, or use others, say so in their section.",
    "## Options of every command",
    optionTable(Object.values(standard.output)),
    "## Options that choose the database",
    optionTable(Object.values(standard.database)),
    ...walk(root)
      .slice(1)
      .flatMap(([path, spec]) => (spec.commands === undefined ? section(path, spec) : group(path, spec)))
  ].join("\n\n") + "\n"

const group = (path: ReadonlyArray<string>, spec: CommandSpec): ReadonlyArray<string> => [
  `## \`${path.join(" ")}\``,
  `${spec.summary}.`,
  ...(spec.defaultCommand === undefined ? [] : [`Alone it runs \`${[...path, spec.defaultCommand].join(" ")}\`.`])
]

const section = (path: ReadonlyArray<string>, spec: CommandSpec): ReadonlyArray<string> => {
  const [[, own] = ["", []]] = grouped(spec)
  const takesDatabase = Object.values(spec.options).some((option) => option.name === standard.database.url.name)
  return [
    `${"#".repeat(path.length)} \`${path.join(" ")}\``,
    `${spec.summary}.`,
    ...(spec.description ?? []),
    `\`\`\`\n${usage(path, spec)}\n\`\`\``,
    ...(spec.arguments ?? []).map((argument) => `\`<${argument.name}>\`: ${lower(argument.description)}.`),
    ...(own.length === 0 ? [] : [optionTable(own)]),
    takesDatabase ? "Takes the options that choose the database." : "Reaches no configured database.",
    ...(spec.json === undefined ? [] : [jsonTable(spec.json)]),
    ...(spec.exits === undefined ? [] : [exitTable(spec.exits)]),
    ...(spec.examples ?? []).map((example) => `- \`${example.command}\`: ${example.does}`)
  ]
}

const jsonTable = ({ members, schema }: JsonSpec): string =>
  [
    `| \`--json\` | \`${schema}\` |`,
    "|---|---|",
    ...Object.entries(members).map(([name, holds]) => `| \`${name}\` | ${holds} |`)
  ].join("\n")

const exitTable = (exits: ReadonlyArray<ExitSpec>): string =>
  ["| exit code | meaning |", "|---|---|", ...exits.map(([code, meaning]) => `| ${code} | ${meaning} |`)].join("\n")

const optionTable = (options: ReadonlyArray<OptionSpec>): string =>
  [
    "| option | what | default | variable |",
    "|---|---|---|---|",
    ...options.map((option) =>
      [
        "",
        ` \`--${option.name}${option.value === undefined ? "" : ` <${option.value}>`}\`${option.alias === undefined ? "" : `, \`-${option.alias}\``} `,
        ` ${option.description}${option.choices === undefined ? "" : `: ${option.choices.join(", ")}`} `,
        ` ${option.default ?? ""} `,
        ` ${option.variable === undefined ? "" : `\`${option.variable}\``} `,
        ""
      ].join("|")
    )
  ].join("\n")

const lower = (text: string): string => `${text.slice(0, 1).toLowerCase()}${text.slice(1)}`
