import * as Command from "@effect/cli/Command"
import * as CommandDescriptor from "@effect/cli/CommandDescriptor"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as CliConfig from "@effect/cli/CliConfig"
import { assert, describe, expect, it } from "@effect/vitest"
import * as HashMap from "effect/HashMap"
import * as prettier from "prettier"
import { commonExits, exitsOf, walk } from "../../src/cli/Spec.ts"
import { manual } from "../../src/cli/Manual.ts"
import { help } from "../../src/cli/Help.ts"
import { root as definitions } from "../../src/cli/specs/root.ts"
import { backup, config, migrate, pool, root } from "effect-plinth/cli"

/** The commands that `@effect/cli` parses by, by the path of their definition. */
const parsers = new Map<string, CommandDescriptor.Command<unknown>>([
  ...entries("plinth", Command.getSubcommands(root)),
  ...entries("plinth migrate", Command.getSubcommands(migrate)),
  ...entries("plinth backup", Command.getSubcommands(backup)),
  ...entries("plinth config", Command.getSubcommands(config)),
  ...entries("plinth pool", Command.getSubcommands(pool))
])

function entries(path: string, commands: HashMap.HashMap<string, CommandDescriptor.Command<unknown>>) {
  return HashMap.toEntries(commands).map(([name, command]) => [`${path} ${name}`, command] as const)
}

describe("the definitions of the commands", () => {
  const leaves = walk(definitions).filter(([, spec]) => spec.commands === undefined)

  for (const [path, spec] of leaves) {
    it(`are what ${path.join(" ")} parses by, option for option`, () => {
      const parser = parsers.get(path.join(" ")) ?? assert.fail("there is no such command")
      const text = HelpDoc.toAnsiText(CommandDescriptor.getHelp(parser, CliConfig.make({ showBuiltIns: false })))
      // An option's own line begins with its names; in prose they stand inside a line.
      const parsed = Array.from(text.matchAll(/^\S*?(?:\(-\w, )?--([a-z][a-z-]*)/gm), ([, name]) => name)
      const defined = Object.values(spec.options).map((option) => option.name)
      assert.sameMembers(parsed, defined)
    })
  }

  it("are what docs/cli.md says (vitest -u writes it anew)", async () => {
    const path = "docs/cli.md"
    const options = await prettier.resolveConfig(path)
    const formatted = await prettier.format(manual(definitions), { ...options, filepath: path })
    await expect(formatted).toMatchFileSnapshot(`../../${path}`)
  })

  it("keep to the one table of exit codes; only health-check has its own", () => {
    for (const [path, spec] of leaves) {
      const codes = new Map(exitsOf(spec))
      if (path[1] === "health-check") continue
      for (const code of [0, 2, 130, 143])
        assert.strictEqual(codes.get(code), new Map(commonExits).get(code), path.join(" "))
    }
  })

  it("fit into a terminal of 80 columns, but for examples and usage lines", () => {
    for (const [path, spec] of walk(definitions)) {
      for (const line of help(path, spec, 80).split("\n")) {
        if (/^( {2}plinth| {2}jq|Usage:| {6})/.test(line)) continue
        assert.isAtMost(line.length, 80, line)
      }
    }
  })
})
