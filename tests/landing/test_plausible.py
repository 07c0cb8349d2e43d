"""The unit of money: micros taken for units are refused as a file, whatever its size, and the bound is where it is said."""

from decimal import Decimal

import polars as pl
import pytest

from kly_mage.common.errors import LandingError
from tests.landing.zone import FILE, HEADER, Write, read

NUMBERS = ','.join(f'Column.AD_SERVER_{name}' for name in ('IMPRESSIONS', 'CLICKS', 'ALL_REVENUE'))
REPORT = f'Dimension.DATE,Dimension.AD_UNIT_NAME,{NUMBERS}\n'
MICROS_AS_UNITS = "[[mapping]]\nsource = 'gam_delivery'\n[mapping.columns]\nrevenue_usd = 'Column.AD_SERVER_ALL_REVENUE'\n"


def ad(impressions: int, revenue: str, unit: str = 'top') -> str:
    return f'2025-10-01,{unit},{impressions},0,{revenue}\n'


@pytest.mark.parametrize(
    ('impressions', 'revenue', 'is_refused'),
    [
        (1_000_000, '2000000', False),  # 2,000 for 1,000: the bound itself
        (1_000_000, '2000000.000001', True),
        (1_000_000, '1500000000', True),  # 1,500 dollars in micros
        (10, '15000', True),  # a cent and a half in micros
        (10, '2000', False),  # fewer than 1,000 impressions count as 1,000
        (10, '2000.01', True),
        (0, '-2000.01', True),
        (0, '2000', False),
    ],
)
def test_a_file_is_refused_whose_money_for_a_thousand_impressions_is_beyond_the_bound(
    write: Write, impressions: int, revenue: str, is_refused: bool
) -> None:
    landing = write(HEADER + ad(impressions, revenue))
    if not is_refused:
        assert read(landing)['revenue_usd'].to_list() == [Decimal(revenue)]
        return
    with pytest.raises(LandingError, match=r'revenue_usd is [0-9,.]+ for 1,000 impressions .* at most 2,000 is plausible'):
        read(landing)


def test_the_refusal_names_what_was_seen_the_bound_and_both_remedies(write: Write) -> None:
    with pytest.raises(LandingError) as refused:
        read(write(HEADER + ad(1_200, '1800000') + ad(300, '450000', 'side')))
    # 2,250,000 for 1,500 impressions
    assert str(refused.value) == (
        f'{FILE}: revenue_usd is 1,500,000.00 for 1,000 impressions over the whole file (1,500 of them), and at most 2,000 '
        "is plausible: are these micros? Then say so in landing.toml (unit = 'micros'); if the amounts are right, give its "
        'files a higher ecpm_limit there'
    )


def test_corrections_do_not_hide_what_they_correct_and_rejected_rows_say_nothing(write: Write) -> None:
    with pytest.raises(LandingError, match=r'revenue_usd is 2,000,000\.00 for'):
        read(write(HEADER + ad(1_000, '1000000') + ad(0, '-1000000', 'side')))
    frame = read(write(HEADER + ad(1_000, '1') + 'never,top,1000,0,5000000\n'))
    assert frame['_reject'].null_count() == 1


def test_one_dear_row_among_many_impressions_is_no_other_unit(write: Write) -> None:
    assert read(write(HEADER + ad(5, '5000') + ad(100_000, '100', 'side'))).height == 2


def test_a_file_is_judged_as_a_whole_however_many_frames_it_takes(write: Write) -> None:
    rows = ad(1, '0.001') * 150_000
    assert read(write(HEADER + rows + ad(0, '299000'))).height == 150_001
    with pytest.raises(LandingError, match=r'over the whole file \(150,000 of them\)'):
        read(write(HEADER + ad(0, '300000') + rows))  # 300,150 for 150,000: 2,001 for 1,000


def test_another_bound_is_said_for_files_in_landing_toml(write: Write) -> None:
    write("[[mapping]]\nsource = 'gam_delivery'\nfiles = 'sponsor_*'\necpm_limit = 3000\n", 'landing.toml')
    landing = write(HEADER + ad(1_000, '3000'), 'gam_delivery/sponsor_1.csv')
    assert read(landing).height == 1
    with pytest.raises(LandingError, match=r'other.csv: .* at most 2,000 is plausible'):
        read(write(HEADER + ad(1_000, '3000'), 'gam_delivery/other.csv'))


def test_a_report_of_the_api_whose_micros_somebody_takes_for_units_is_refused(write: Write) -> None:
    landing = write(REPORT + ad(1_000, '1500000'))
    assert read(landing)['revenue_usd'].to_list() == [Decimal('1.5')]
    write(MICROS_AS_UNITS, 'landing.toml')
    with pytest.raises(LandingError, match=r'revenue_usd is 1,500,000\.00 for 1,000 impressions'):
        read(landing)


def test_what_landing_toml_says_of_a_report_is_added_to_what_it_is_recognised_as(write: Write) -> None:
    write('date,currency,usd\n2025-10-01,EUR,1.5\n', 'fx_rates.csv')
    euros = "{ from = 'Column.AD_SERVER_ALL_REVENUE', unit = 'micros', currency = 'EUR' }"
    write(MICROS_AS_UNITS.replace("'Column.AD_SERVER_ALL_REVENUE'", euros), 'landing.toml')
    frame = read(write(REPORT + ad(1_000, '1500000')))
    assert frame.select('ad_unit', 'impressions', 'revenue_usd').rows() == [('top', 1_000, Decimal('2.25'))]
    assert frame['_reject'].dtype == pl.String
    assert frame['_reject'].null_count() == 1
