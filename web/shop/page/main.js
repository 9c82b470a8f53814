/** Starts the page's parts. */
import { startBell } from './bell.js';
import { startExpiry } from './expiry.js';
import { startFreshness } from './freshness.js';
import { startHeader } from './header.js';
import { tellOfOrders, tellOfRestored } from './notices.js';
import { startPanel } from './panel/panel.js';
import { recogniseAtLast } from './person.js';
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
tellOfRestored();

// The person first: otherwise a private view would show the sign-in card for a moment.
const own = /^\/(orders|basket)/.test(location.pathname);
const recognised = recogniseAtLast().catch(() =>
  toast('We could not find out whether you are signed in. Reload to try again.', { tone: 'bad' }),
);
if (own) await recognised;
startRouter();
void startPanel();
