// The page that `rolecall review` serves, as the person who decides uses it: the program, its store and
// the simulated directories are real, and so is the browser.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';

const program = process.env.PROGRAM;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const desktop = { width: 1280, height: 800 };
const phone = { width: 400, height: 800 };

let browser;
let home;
let sandbox;

before(async () => {
  home = mkdtempSync(join(tmpdir(), 'rolecall-review-'));
  const settings = join(home, 'sandbox.toml');
  sandbox = spawn(program, ['sandbox', '--users', '200', '--write-config', settings], { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise((resolve, reject) => {
    sandbox.stdout.once('data', resolve);
    sandbox.once('exit', () => reject(new Error('the sandbox ended')));
  });
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--no-first-run',
      '--host-resolver-rules=MAP rebound.example 127.0.0.1'],
    env: { ...process.env, HOME: home },
  });
});
after(async () => {
  await browser?.close();
  sandbox?.kill();
  rmSync(home, { recursive: true, force: true });
});

// A store of its own with one held plan.
let stores = 0;
class Desk {
  constructor() {
    stores += 1;
    this.settings = join(home, `desk${stores}.toml`);
    this.protect([]);
    this.id = this.hold();
  }

  // Another person who is protected is another plan.
  protect(emails) {
    writeFileSync(this.settings, `[store]\npath = "${join(home, `desk${stores}.db`)}"\n`
      + `[guards]\nmax_deactivations = 0\n[protect]\nemails = ${JSON.stringify(emails)}\n`, { mode: 0o600 });
  }

  args(...args) {
    return ['--config', join(home, 'sandbox.toml'), '--config', this.settings, ...args];
  }

  run(...args) {
    return execFileSync(program, this.args(...args), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  }

  hold() {
    assert.throws(() => this.run('sync'), { status: 3 });
    return this.plans().find((plan) => plan.state === 'held').plan_id;
  }

  plans() {
    return JSON.parse(this.run('plan', 'list', '--format', 'json'));
  }

  plan(id = this.id) {
    return this.plans().find((plan) => plan.plan_id === id);
  }

  // Serves the plan and gives the printed address to `use`; then says how the program ended.
  async review(use) {
    const child = spawn(program, this.args('review', this.id), { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = new Promise((resolve) => { child.once('close', resolve); });
    try {
      child.stdout.resume();
      const url = await new Promise((resolve, reject) => {
        let told = '';
        child.stderr.setEncoding('utf8').on('data', (text) => {
          told += text;
          const line = told.match(/(http:\/\/127\.0\.0\.1:\d+\/\S+)\n/);
          if (line) resolve(line[1]);
        });
        ended.then((status) => reject(new Error(`no address is printed (${status}): ${told}`)));
      });
      await use(url);
    } finally {
      if (child.exitCode === null && this.plan().decided_by === null) child.kill('SIGINT');
    }
    return ended;
  }
}

// A window whose every word on the console, and every request to elsewhere, is an error. `told` are the
// answers with a status of failure, which the browser reports on its console.
const open = async (url, options, use) => {
  const context = await browser.newContext({ viewport: desktop, ...options });
  const page = await context.newPage();
  const heard = [];
  const told = [];
  page.on('console', (message) => {
    const status = message.text().match(/^Failed to load resource: .* status of (\d+)/)?.[1];
    if (status) told.push(Number(status));
    else heard.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => heard.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => { heard.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (request) => {
    if (request.url().split('#')[0] !== url) heard.push(`request: ${request.url()}`);
  });
  try {
    const response = await page.goto(url);
    await use(page, response, context);
    assert.deepEqual(heard, []);
    return told;
  } finally {
    await context.close();
  }
};

const tabTo = async (page, what) => {
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
  for (let n = 0; n < 200; n += 1) {
    if (await focused() === what) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`the keyboard does not reach ${what}`);
};

const decideByKeyboard = async (page, reason, button) => {
  await tabTo(page, 'reason');
  await page.keyboard.type(reason);
  await tabTo(page, button);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
};

const APPROVE = 'Approve exactly this plan';
const REJECT = 'Reject it';

const violations = async (page) => {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map((violation) =>
    `${violation.id}: ${violation.nodes.map((node) => node.target.join(' ')).slice(0, 3).join(', ')}`);
};

describe('the decision', () => {
  for (const [button, state] of [[APPROVE, 'approved'], [REJECT, 'rejected']]) {
    test(`is taken by keyboard alone: ${state}, with actor and reason`, async () => {
      const desk = new Desk();
      const status = await desk.review((url) => open(url, {}, async (page) => {
        await tabTo(page, 'text');
        await page.keyboard.type('nobody has this name');
        assert.match(await page.locator('#shown').innerText(), /^0 of \d+ shown$/);
        await page.getByLabel('Text').fill('');
        await page.getByLabel('Kind').selectOption('deactivate');
        assert.ok(await page.locator('section[data-group=deactivate] tbody tr:visible').count() > 0);
        await decideByKeyboard(page, 'HR-4711: seen in the browser', button);
        assert.match(await page.locator('h1').innerText(), new RegExp(`^Plan ${desk.id} is ${state}\\.`));
        assert.deepEqual(await violations(page), []);
      }));
      assert.equal(status, 0);
      const plan = desk.plan();
      assert.equal(plan.state, state);
      assert.equal(plan.reason, 'HR-4711: seen in the browser');
      assert.ok(plan.decided_by.length > 0);
    });
  }

  test('needs a reason', async () => {
    const desk = new Desk();
    await desk.review((url) => open(url, {}, async (page) => {
      await page.getByRole('button', { name: APPROVE }).click();
      assert.equal(await page.evaluate(() => document.activeElement.id), 'reason');
    }));
    assert.equal(desk.plan().state, 'held');
  });

  test('is not taken twice: a second tab is told', async () => {
    const desk = new Desk();
    await desk.review(async (url) => {
      const told = await open(url, {}, async (page, _, context) => {
        const second = await context.newPage();
        await second.goto(url);
        await decideByKeyboard(page, 'the first', APPROVE);
        await decideByKeyboard(second, 'the second', REJECT);
        assert.match(await second.locator('h1').innerText(), /was approved on this page already/);
        assert.deepEqual(await violations(second), []);
      });
      assert.deepEqual(told, []);
    });
    assert.equal(desk.plan().state, 'approved');
    assert.equal(desk.plan().reason, 'the first');
  });

  test('is not taken about a plan that a later run has superseded', async () => {
    const desk = new Desk();
    await desk.review((url) => open(url, {}, async (page) => {
      const someone = await page.locator('section[data-group=deactivate] tbody td').first().innerText();
      desk.protect([someone]);
      assert.notEqual(desk.hold(), desk.id);
      await decideByKeyboard(page, 'too late', APPROVE);
      assert.match(await page.locator('h1').innerText(), /^Nothing was recorded: .*superseded/);
      await page.goto(url);
      assert.equal(await page.getByRole('button', { name: APPROVE }).count(), 0);
    }));
    assert.equal(desk.plan().state, 'superseded');
  });
});

describe('whoever is not let in', () => {
  test('has a wrong token, another name for this machine, or another browser', async () => {
    const desk = new Desk();
    await desk.review((url) => open(url, {}, async () => {
      const { port, pathname, origin } = new URL(url);
      for (const [address, status] of [
        [`${origin}/${'0'.repeat(64)}`, 404],
        [`http://rebound.example:${port}${pathname}`, 421],
        [url, 403],
      ]) {
        const told = await open(address, {}, async (page, response) => {
          assert.equal(response.status(), status);
          assert.doesNotMatch(await page.locator('body').innerText(), /@|Approve/);
        }).catch((error) => {
          // The browser's own page for an answer without a body is no page of the program.
          if (!/ERR_HTTP_RESPONSE_CODE_FAILURE/.test(error.message)) throw error;
          return [status];
        });
        assert.deepEqual(told, [status]);
      }
    }));
    assert.equal(desk.plan().state, 'held');
  });

  test('is a page of another origin that sends the form with the cookie', async () => {
    const desk = new Desk();
    await desk.review(async (url) => {
      const server = createServer((_, response) => {
        response.setHeader('content-type', 'text/html');
        response.end(`<form method="post" action="${url}"><input name="plan" value="${desk.id}">`
          + '<input name="reason" value="forged"><button name="decision" value="approve">x</button></form>');
      });
      await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
      try {
        await open(url, {}, async (page, _, context) => {
          const other = await context.newPage();
          await other.goto(`http://127.0.0.1:${server.address().port}/`);
          const [response] = await Promise.all([other.waitForNavigation(), other.locator('button').click()]);
          assert.equal(response.status(), 403);
          assert.equal(desk.plan().state, 'held');
        });
      } finally {
        server.closeAllConnections();
        server.close();
      }
    });
    assert.equal(desk.plan().state, 'held');
  });
});

describe('the page', () => {
  for (const [where, options] of [
    ['on a desktop', {}],
    ['in the dark', { colorScheme: 'dark' }],
    ['on a phone', { viewport: phone }],
  ]) {
    test(`${where} is accessible and not wider than the window`, async () => {
      const desk = new Desk();
      await desk.review((url) => open(url, options, async (page) => {
        assert.deepEqual(await violations(page), []);
        const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
        assert.ok(width <= page.viewportSize().width, `${width} pixels wide`);
      }));
    });
  }
});
