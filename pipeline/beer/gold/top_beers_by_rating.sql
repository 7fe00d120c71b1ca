-- Rating and number of reviews of each beer, by month.
-- The average is exact: tenths are summed as integers and the quotient is rounded half up at the fourth digit.
SELECT
    beer_id,
    beer_name,
    beer_style,
    CAST(
        CAST((2000 * sum(CAST(10 * review_overall AS BIGINT)) + count(*)) // (2 * count(*)) AS DECIMAL(18, 0)) * 0.0001
        AS DECIMAL(5, 4)
    ) AS avg_rating,
    count(*) AS total_reviews,
    review_year,
    review_month
FROM review_flat
GROUP BY beer_id, beer_name, beer_style, review_year, review_month
