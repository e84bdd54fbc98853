import { assert, describe, it } from "@effect/vitest"
import { parse } from "../../src/cli/Argv.ts"
import { walk } from "../../src/cli/Spec.ts"
import { root } from "../../src/cli/specs/root.ts"

const read = (line: string) =>
  parse(
    root,
    line.split(" ").filter((word) => word !== "")
  )

describe("Argv", () => {
  it("accepts options before, between and behind the words of a command", () => {
    for (const line of ["--url u migrate up --to 3", "migrate --url u up --to=3", "migrate up --to 3 --url u"]) {
      const request = read(line)
      assert.strictEqual(request._tag, "Run")
      if (request._tag === "Run") {
        assert.deepStrictEqual(request.path, ["plinth", "migrate", "up"])
        assert.deepStrictEqual(request.args.slice(0, 2), ["migrate", "up"])
        assert.sameMembers(
          request.args.slice(2).filter((arg) => arg.startsWith("--")),
          ["--to", "--url"]
        )
        assert.strictEqual(request.args[request.args.indexOf("--to") + 1], "3")
      }
    }
  })

  it("puts arguments behind a double dash, so that none is taken for an option", () => {
    const request = parse(root, ["route", "--json", "--", "--a comment\nSELECT 1"])
    assert.strictEqual(request._tag, "Run")
    if (request._tag === "Run") assert.deepStrictEqual(request.args, ["route", "--json", "--", "--a comment\nSELECT 1"])
  })

  const refusals: ReadonlyArray<readonly [line: string, says: RegExp]> = [
    ["migrat up", /no command "migrat".*Did you mean `plinth migrate`/],
    ["mig up", /Did you mean `plinth migrate`/],
    ["frobnicate", /There are: setup, migrate/],
    ["migrate stauts", /Did you mean `plinth migrate status`/],
    ["migrate upp", /no command "upp" of plinth migrate.*Did you mean `plinth migrate up`/],
    ["bakcup list", /Did you mean `plinth backup`/],
    ["migrate up --jsn", /no option --jsn.*Did you mean --json/],
    ["migrate up --url", /--url needs a value/],
    ["migrate up --url --json", /--url needs a value/],
    ["migrate up --url=", /--url needs a value/],
    ["migrate up --json=1", /--json is a switch/],
    ["migrate up --to 1 --to 2", /--to was given twice/],
    ["migrate down --steps two", /--steps cannot be "two".*whole number/],
    ["migrate down --steps -1", /.*/],
    ["migrate up --lock-wait 10", /--lock-wait cannot be "10".*unit/],
    ["pool simulate --arrivals 500", /--arrivals cannot be "500".*such as 500\/s/],
    ["health-check --format jsn", /--format cannot be "jsn".*Did you mean json/],
    ["migrate create", /needs <name>/],
    ["migrate up extra", /does not know what to do with "extra"/],
    ["migrate", /needs a command.*plan, up, down/],
    ["", /No command was given/],
    ["--verison", /no option --verison.*Did you mean --version/],
    ["-v", /Did you mean --version/],
    ["up", /no command "up".*Did you mean `plinth migrate up`/],
    ["--frobnicate", /no option --frobnicate.*`plinth --help`/],
    ["-x", /.*/]
  ]
  for (const [line, says] of refusals) {
    it(`refuses "${line}" and says what is meant`, () => {
      const request = read(line)
      assert.strictEqual(request._tag, "Refused")
      if (request._tag === "Refused") assert.match(`${request.problem}. ${request.advice}`, says)
    })
  }

  it("gives wrong usage the exit code 3 in health-check, where 2 means critical, and 2 elsewhere", () => {
    const monitoring = read("health-check --bogus")
    const other = read("backup list --bogus")
    assert.deepStrictEqual(
      [monitoring, other].map((request) => request._tag === "Refused" && request.code),
      [3, 2]
    )
  })

  it("shows help for --help anywhere, -h and the word help", () => {
    for (const line of ["migrate up --help", "--help migrate up", "migrate -h up", "help migrate up"]) {
      const request = read(line)
      assert.strictEqual(request._tag, "Help", line)
      if (request._tag === "Help") assert.deepStrictEqual(request.path, ["plinth", "migrate", "up"], line)
    }
  })

  it("runs the default command of a group", () => {
    const request = read("config --json")
    assert.strictEqual(request._tag, "Run")
    if (request._tag === "Run") assert.deepStrictEqual(request.args, ["config", "show", "--json"])
  })

  it("gives an option the same shape and variable wherever its name occurs", () => {
    const seen = new Map<string, string>()
    for (const [path, spec] of walk(root)) {
      for (const option of Object.values(spec.options)) {
        const shape = JSON.stringify([option.value !== undefined, option.alias, option.variable])
        assert.strictEqual(seen.get(option.name) ?? shape, shape, `${path.join(" ")} --${option.name}`)
        seen.set(option.name, shape)
      }
    }
  })
})
