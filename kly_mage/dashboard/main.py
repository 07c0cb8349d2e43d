"""What Streamlit runs for every page: the menu, then the page. A further page is a file in ``pages`` and a line here."""

import streamlit as st

from kly_mage.common.errors import KlyError
from kly_mage.dashboard.parts import chosen_days, page_of, say_error, style

PAGES = {
    'overview': 'Overview',
    'articles': 'Articles',
    'sites': 'Sites',
    'sections': 'Sections',
    'authors': 'Authors',
    'ads': 'Ads',
    'health': 'Health',
    'proof': 'Proof',
    'words': 'Words',
}

st.set_page_config(page_title='kly_mage', layout='wide')
style()
pages = {name: st.Page(page_of(name), title=title, url_path=name) for name, title in PAGES.items()}
# The page of the bare address has no other one for Streamlit, whose links to it lead to whatever page they stand on.
home = st.Page(page_of('overview'), title=PAGES['overview'], url_path='start', default=True)
running = st.navigation([home, *pages.values()], position='hidden')
with st.sidebar:
    st.html('<p class="kly-name">kly_mage</p>')
    for name, page in pages.items():
        st.page_link(home if name == 'overview' and running == home else page, query_params=chosen_days())
    st.html('<a href="sign-out" target="_self">Sign out</a>')
try:
    running.run()
except KlyError as error:
    say_error(error)
