/** Starts the page's parts. */
import { startBell } from './bell.js';
import { startExpiry } from './expiry.js';
import { startFreshness } from './freshness.js';
import { startHeader } from './header.js';
import { client } from './live.js';
import { follow, tellOfOrders } from './notices.js';
import { startPanel } from './panel/panel.js';
import { recognise } from './person.js';
import { route, startRouter } from './router.js';
import { toast } from './toast.js';
import { basket } from './views/basket.js';
import { home } from './views/home.js';
import { lost } from './views/lost.js';
import { order } from './views/order.js';
import { orders } from './views/orders.js';
import { product } from './views/product.js';

route(/^\/$/, home);
route(/^\/products\/([\w.~-]+)$/, product);
route(/^\/basket$/, basket);
route(/^\/orders$/, orders);
route(/^\/orders\/([\w.~-]+)$/, order);
route(/./, lost);

startHeader();
startFreshness();
startExpiry();
startBell();
tellOfOrders();

/** Ask again who is signed in: another tab may have changed it, or this page comes from the back-forward cache. */
function recogniseAgain() {
  recognise().then(
    (restored) => restored.forEach((operation) => follow(operation)),
    () => {},
  );
}
client.onSessionChange(recogniseAgain);
addEventListener('pageshow', ({ persisted }) => persisted && recogniseAgain());

const TRIES = 6;
const AGAIN = 2000; // milliseconds

/** Ask who is signed in, again after a failure: a gateway that is full or starting refuses only for a moment. */
async function recogniseAtLast() {
  for (let tries = TRIES; ;) {
    try {
      return await recognise();
    } catch (error) {
      tries -= 1;
      if (!tries) throw error;
      await new Promise((resume) => setTimeout(resume, AGAIN));
    }
  }
}

// The person first: otherwise a private view would show the sign-in card for a moment.
const own = /^\/(orders|basket)/.test(location.pathname);
const recognised = recogniseAtLast().then(
  (restored) => restored.forEach((operation) => follow(operation)),
  () => toast('We could not find out whether you are signed in. Reload to try again.', { tone: 'bad' }),
);
if (own) await recognised;
startRouter();
void startPanel();
