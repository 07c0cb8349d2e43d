// A link of ours to another page, or to other days, asks for that alone: not for Streamlit's whole page anew.
document.addEventListener('click', event => {
    const link = event.target.closest('[data-testid="stHtml"] a[href]');
    const app = document.querySelector('[data-testid="stApp"]');
    const elsewhere = event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    const leaves = link && (link.origin !== location.origin || link.pathname === '/sign-out');
    if (!link || leaves || elsewhere || app?.dataset.testConnectionState !== 'CONNECTED') return;
    event.preventDefault();
    history.pushState({}, '', link.href);
    dispatchEvent(new PopStateEvent('popstate'));
    document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);
});
