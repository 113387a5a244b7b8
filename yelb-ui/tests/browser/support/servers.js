// The real programs, each on a port that the kernel chooses and with a data file of its own.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** Far more than a start takes: 100 ms is the budget. */
const START_LIMIT = 15_000;

const yelb = process.env.YELB_BIN ?? fileURLToPath(new URL("../../../../target/debug/yelb", import.meta.url));
/** No other client listens, scrapes or has to notice that a server stops. */
const ALONE = { YELB_BIND: "127.0.0.1", YELB_ADMIN_PORT: "off", YELB_STOP_WAIT: "0" };

/** One build puts them side by side. */
const [yelbAppserver, yelbUi, standIn] = ["yelb-appserver", "yelb-ui", "examples/stand_in"].map((name) =>
  join(dirname(yelb), name),
);

/** The whole application in one process. */
export async function startYelb(settings = {}) {
  const data = await dataFile();
  const server = start(yelb, ["--port", "0", "--api-port", "0"], { ...data.env, ...settings });
  const url = await server.says("stdout", (line) => line.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0]);
  return {
    url,
    async stop() {
      await server.stop();
      await data.remove();
    },
  };
}

/** UI and app server as two processes, so that one can go and come back. */
export async function startPair(settings = {}) {
  const data = await dataFile();
  const startAppServer = (port) => start(yelbAppserver, ["--port", port], data.env);

  let appServer = startAppServer("0");
  const address = await appServer.says("stderr", listening("api"));
  const { ui, url } = await startUi(address, settings);

  return {
    url,
    stopAppServer: () => appServer.stop(),
    async restartAppServer() {
      appServer = startAppServer(address.split(":").at(-1));
      await appServer.says("stderr", listening("api"));
    },
    async stop() {
      await Promise.all([ui.stop(), appServer.stop()]);
      await data.remove();
    },
  };
}

/** Two app servers on one file, and a UI for each. The first UI has both, and uses the second when the first is gone. */
export async function startReplicas() {
  const data = await dataFile();
  const [appServers, addresses] = [[], []];
  // One after the other: the first makes the file.
  for (const _ of "12") {
    const appServer = start(yelbAppserver, ["--port", "0"], data.env);
    appServers.push(appServer);
    addresses.push(await appServer.says("stderr", listening("api")));
  }
  const front = await startBalancer(addresses);
  const uis = await Promise.all([startUi(front.address), startUi(addresses[1])]);
  return {
    addresses,
    urls: uis.map(({ url }) => url),
    killFirst: () => appServers[0].kill(),
    async stop() {
      await Promise.all([...uis.map(({ ui }) => ui), ...appServers].map((it) => it.stop()));
      front.stop();
      await data.remove();
    },
  };
}

/** UI in front of the stand-in for the original's app server, which is told to "kill" or to "start" itself. */
export async function startBeforeStandIn() {
  const original = start(standIn, [], {});
  const address = await original.says("stdout", (line) => line.match(/^http:.*/)?.[0]);
  const ui = start(yelbUi, ["--port", "0"], { YELB_APPSERVER_ENDPOINT: address });
  const url = `http://${await ui.says("stderr", listening("page"))}`;
  return {
    url,
    async tell(command) {
      const done = original.says("stdout", (line) => (line === `done: ${command}` ? line : undefined));
      original.hears(command);
      await done;
    },
    async stop() {
      await Promise.all([ui.stop(), original.stop()]);
    },
  };
}

/** A UI in front of an app server that the test has started. */
export async function startUi(address, settings = {}) {
  const ui = start(yelbUi, ["--port", "0"], { YELB_APPSERVER_ENDPOINT: `http://${address}`, ...settings });
  return { ui, url: `http://${await ui.says("stderr", listening("page"))}` };
}

/** A TCP balancer that takes the first server that lets it in. */
async function startBalancer(addresses) {
  const server = createTcpServer((client) => {
    const tryNext = ([address, ...others]) => {
      if (!address) return client.destroy();
      const [host, port] = address.split(":");
      const upstream = connect(Number(port), host);
      upstream.once("error", () => (upstream.bytesRead === 0 ? tryNext(others) : client.destroy()));
      upstream.once("connect", () => {
        client.pipe(upstream).pipe(client);
        upstream.once("close", () => client.destroy());
        client.once("close", () => upstream.destroy());
      });
    };
    client.on("error", () => client.destroy());
    tryNext(addresses);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return { address: `127.0.0.1:${server.address().port}`, stop: () => server.close() };
}

/**
 * A server of the test's own, for as long as the test runs.
 * @param {import("node:test").TestContext} context
 * @param {import("node:http").RequestListener} answer
 * @returns {Promise<string>} its URL, without a slash at the end
 */
export async function serve(context, answer) {
  const server = createServer(answer);
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/**
 * Passes a request on, as a proxy does.
 * @param {string} url where to
 * @param {import("node:http").IncomingMessage} asked
 * @param {import("node:http").ServerResponse} answer
 */
export function forward(url, asked, answer) {
  const { method, headers } = asked;
  const passed = request(url, { method, headers }, (got) => {
    answer.writeHead(got.statusCode, got.headers);
    got.pipe(answer);
  });
  asked.pipe(passed);
  answer.on("close", () => passed.destroy());
  passed.on("error", () => answer.destroy());
}

/**
 * A server in front of a Yelb, which the test can have answer in its place, by path. Its streams are those of the Yelb, and can be
 * cut, or be silent while the test tells something else.
 * @param {import("node:test").TestContext} context
 * @param {string} url
 */
export async function serveBefore(context, url) {
  /** @type {Map<string, import("node:http").RequestListener>} */
  const instead = new Map();
  const streams = new Set();
  const site = await serve(context, (asked, answer) => {
    const own = instead.get(asked.url);
    if (own) return own(asked, answer);
    if (asked.url === "/api/stream") follow(answer);
    forward(url + asked.url, asked, answer);
  });

  function follow(answer) {
    streams.add(answer);
    answer.on("close", () => streams.delete(answer));
  }

  return {
    url: site,
    instead,

    /** From now on a stream tells what the test tells. */
    tellsItself() {
      instead.set("/api/stream", (_, answer) => {
        follow(answer);
        answer.writeHead(200, { "Content-Type": "text/event-stream" }).flushHeaders();
      });
    },

    /**
     * @param {Record<string, number>} counts
     * @param {number} pageviews by which the test knows that the page has heard it
     */
    tell(counts, pageviews) {
      const votes = Object.entries(counts).map(([name, value]) => ({ name, value }));
      const event = JSON.stringify({ votes, pageviews, down: [], hostname: "app-1" });
      for (const stream of streams) stream.write(`data: ${event}\n\n`);
    },

    cutStreams() {
      for (const stream of streams) stream.destroy();
    },
  };
}

async function dataFile() {
  const directory = await mkdtemp(join(tmpdir(), "yelb-browser-"));
  return {
    env: { DATABASE_URL: `sqlite:${join(directory, "votes.db")}` },
    remove: () => rm(directory, { recursive: true }),
  };
}

/**
 * @param {string} program
 * @param {string[]} args
 * @param {Record<string, string>} env
 */
function start(program, args, env) {
  if (!existsSync(program)) {
    throw new Error(`${program} is missing: build it with \`cargo build --workspace\``);
  }
  // Nothing of the caller's settings: a DATABASE_URL there must not be voted in here.
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH, ...ALONE, ...env },
    stdio: "pipe",
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const kill = () => child.kill("SIGKILL");
  // A test that fails before it can stop the program must neither wait for it nor leave it behind.
  process.once("exit", kill);
  for (const held of [child, child.stdin, child.stdout, child.stderr]) held.unref();

  const said = [];
  const lines = { stdout: createInterface(child.stdout), stderr: createInterface(child.stderr) };
  for (const stream of Object.values(lines)) stream.on("line", (line) => said.push(line));

  return {
    /**
     * @template T
     * @param {"stdout" | "stderr"} stream
     * @param {(line: string) => T | undefined} find
     * @returns {Promise<T>}
     */
    says(stream, find) {
      return new Promise((resolve, reject) => {
        const fail = (what) => {
          clearTimeout(limit);
          reject(new Error(`${program} ${what}. It said:\n${said.join("\n")}`));
        };
        const limit = setTimeout(() => fail(`was not ready after ${START_LIMIT} ms`), START_LIMIT);
        lines[stream].on("line", (line) => {
          const found = find(line);
          if (found === undefined) return;
          clearTimeout(limit);
          resolve(found);
        });
        child.once("error", (error) => fail(`could not be started: ${error.message}`));
        exited.then((code) => fail(`ended with ${code}`));
      });
    },
    async kill() {
      kill();
      await exited;
    },
    hears(line) {
      child.stdin.write(`${line}\n`);
    },
    async stop() {
      child.kill("SIGTERM");
      const limit = setTimeout(kill, START_LIMIT);
      await exited;
      clearTimeout(limit);
      process.off("exit", kill);
    },
  };
}

/** Finds the address in the log line of a server that listens. */
function listening(server) {
  return (line) => {
    try {
      const entry = JSON.parse(line);
      const fields = entry.fields ?? entry;
      return fields.message === "listening" && fields.server === server ? fields.address : undefined;
    } catch {
      return undefined;
    }
  };
}
